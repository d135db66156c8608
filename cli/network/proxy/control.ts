import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { isRecord } from '../../../src/is-record.ts';
import { codeOf } from './dial-answers.ts';
import { dialFor, type ProxyContext, untilClosed } from './join.ts';
import { MAX_CONTROL_LINE_BYTES, MAX_CONTROL_PENDING } from './limits.ts';
import type { UdpRelay } from './udp-relay.ts';

/**
 * What a preload asks, one JSON object a line; answered in any order by `{id, …}`, failures by `{id, code}`:
 * dial: connect to host:port for the connection that will come from `from` (tickets.ts); lookup: addresses of a name;
 * relay, endRelay: a relay of datagrams for the client's port `from` (udp-relay.ts).
 */
type ControlRequest =
  | { readonly id: number; readonly op: 'dial'; readonly host: string; readonly port: number; readonly from: number }
  | { readonly id: number; readonly op: 'lookup'; readonly host: string; readonly family: 0 | 4 | 6 }
  | { readonly id: number; readonly op: 'relay' | 'endRelay'; readonly from: number };

/** Answers a preload until its connection is over. What is no request ends it. */
export async function serveControl(socket: Socket, context: ProxyContext): Promise<void> {
  const relays = new Map<number, UdpRelay>();
  /** Take back what was announced and has not come. */
  const tickets = new Set<() => void>();
  let pending = 0;
  let rest = '';

  const handle = async (request: ControlRequest): Promise<object> => {
    switch (request.op) {
      case 'dial': {
        if (context.tickets.isFull) return { code: 'EMFILE' };
        const outgoing = await dialFor(socket, context, request.host, request.port);
        const takeBack = context.tickets.put(request.from, outgoing);
        tickets.add(takeBack);
        outgoing.once('close', () => tickets.delete(takeBack));
        if (socket.destroyed) takeBack();
        return {};
      }
      case 'lookup': {
        const found = await context.resolver.lookup(request.host, request.family);
        return { addresses: found.map(({ address, family }) => ({ address, family })) };
      }
      case 'relay': {
        const relay = await context.openRelay(socket, request.from);
        if (relay === undefined) return { code: 'EMFILE' };
        relays.get(request.from)?.close();
        relays.set(request.from, relay);
        if (socket.destroyed) relay.close();
        return { port: relay.port };
      }
      case 'endRelay':
        relays.get(request.from)?.close();
        relays.delete(request.from);
        return {};
      default:
        return request satisfies never;
    }
  };
  const backlog: string[] = [];
  const answer = async (request: ControlRequest): Promise<void> => {
    pending += 1;
    const result = await handle(request).catch((error: unknown) => ({ code: codeOf(error) }));
    pending -= 1;
    if (!socket.destroyed) socket.write(`${JSON.stringify({ id: request.id, ...result })}\n`);
    goOn();
  };
  const goOn = (): void => {
    while (pending < MAX_CONTROL_PENDING && !socket.destroyed) {
      const line = backlog.shift();
      if (line === undefined) break;
      const request = parseRequest(line);
      if (request === undefined) socket.destroy();
      else void answer(request);
    }
    if (backlog.length > 0) socket.pause();
    else socket.resume();
  };

  setMaxListeners(0, socket); // one for each dial under way
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    backlog.push(...lines);
    if (rest.length > MAX_CONTROL_LINE_BYTES) socket.destroy();
    goOn();
  });
  socket.once('end', () => socket.end());
  await untilClosed(socket, context);
  for (const relay of relays.values()) relay.close();
  for (const takeBack of tickets) takeBack();
}

function parseRequest(line: string): ControlRequest | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined; // no JSON
  }
  if (!isRecord(value)) return undefined;
  const { id, op, host, port, from, family } = value;
  if (typeof id !== 'number') return undefined;
  switch (op) {
    case 'dial':
      if (typeof host !== 'string' || typeof port !== 'number' || !isPort(from)) return undefined;
      return { id, op, host, port, from };
    case 'lookup':
      if (typeof host !== 'string' || (family !== 0 && family !== 4 && family !== 6)) return undefined;
      return { id, op, host, family };
    case 'relay':
    case 'endRelay':
      return isPort(from) ? { id, op, from } : undefined;
    default:
      return undefined;
  }
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
}
