import dgram from 'node:dgram';
import dns from 'node:dns';
import { isIP } from 'node:net';
import { readDatagram, writeDatagram } from '../socks-messages.ts';
import { isLoopback } from './addresses.ts';
import type { ControlLine } from './control-line.ts';

type Callback = (error: Error | null, bytes?: number) => void;
type AnyFunction = (...args: never[]) => unknown;

interface Remote {
  readonly address: string;
  readonly port: number;
}

/** What becomes of a datagram, or a connect(), that waits for the relay. */
interface Waiting {
  ready(): void;
  /** There will be none, or too many wait. */
  lost(): void;
}

/** What is known of a socket that sends elsewhere than to the loopback. */
interface Relayed {
  /** The relay's port; undefined while it is asked for. */
  port: number | undefined;
  waiting: Waiting[];
  /** Of a connected socket. */
  remote: Remote | undefined;
}

const MAX_WAITING = 256;

/** Sends datagrams for other machines to a relay of the proxy port, behind SOCKS5's header, and takes it off what comes back. */
export function patchDgram(line: ControlLine): void {
  const prototype = dgram.Socket.prototype;
  const { send, connect, disconnect, remoteAddress, emit } = prototype;
  const relayed = new WeakMap<dgram.Socket, Relayed>();

  const relayHost = (socket: dgram.Socket): string =>
    Reflect.get(socket, 'type') === 'udp6' ? '::ffff:127.0.0.1' : '127.0.0.1';

  /** Calls `ready` once the socket has a relay, else `lost`. */
  const withRelay = (socket: dgram.Socket, ready: () => void, lost: () => void): void => {
    const known = relayed.get(socket);
    if (known !== undefined) {
      if (known.port !== undefined) ready();
      else if (known.waiting.length < MAX_WAITING) known.waiting.push({ ready, lost });
      else process.nextTick(lost);
      return;
    }
    const state: Relayed = { port: undefined, waiting: [{ ready, lost }], remote: undefined };
    relayed.set(socket, state);
    const ask = (): void => {
      const { port: from } = socket.address();
      const end = (): void => line.request({ op: 'endRelay', from }, () => {});
      let closed = false;
      line.request({ op: 'relay', from }, ({ port }) => {
        if (port !== undefined && closed) end(); // not before: it would not have been there to end
        if (port === undefined) {
          relayed.delete(socket); // the session has ended, or too many: datagrams are lost, the next one tries again
          for (const { lost: tell } of state.waiting.splice(0)) tell();
          return;
        }
        state.port = port;
        for (const next of state.waiting.splice(0)) next.ready();
      });
      socket.once('close', () => {
        closed = true;
        if (state.port !== undefined) end();
      });
    };
    if (isBound(socket)) ask();
    else {
      socket.once('listening', ask);
      if (!isBinding(socket)) socket.bind({ port: 0, exclusive: true });
    }
  };

  const sendThrough = (socket: dgram.Socket, data: Buffer, to: Remote, callback: Callback | undefined): void => {
    const deliver = (): void => {
      const port = relayed.get(socket)?.port;
      const whole = writeDatagram({ host: to.address, port: to.port }, data);
      const done: Callback = (error, bytes) => callback?.(error, bytes === undefined ? bytes : data.length);
      try {
        Reflect.apply(send as AnyFunction, socket, [whole, 0, whole.length, port, relayHost(socket), done] as never[]);
      } catch {
        // ERR_SOCKET_DGRAM_NOT_RUNNING: closed meanwhile
      }
    };
    withRelay(socket, deliver, () => callback?.(null, data.length)); // a network does not tell either
  };

  function patchedSend(this: dgram.Socket, ...args: unknown[]): unknown {
    const remote = relayed.get(this)?.remote;
    const call = readSend(args, remote !== undefined);
    const original = (): unknown => Reflect.apply(send as AnyFunction, this, args as never[]);
    if (call === undefined) return original();
    const { data, callback } = call;
    if (remote !== undefined) return sendThrough(this, data, remote, callback);
    const { address, port } = call;
    if (address === undefined || port === undefined || isLoopback(address) || address === 'localhost')
      return original();
    if (isGroup(address)) return original();
    resolve(this, address, callback, (found) => {
      if (isLoopback(found)) Reflect.apply(send as AnyFunction, this, [data, port, found, callback] as never[]);
      else sendThrough(this, data, { address: found, port }, callback);
    });
    return undefined;
  }

  function patchedConnect(this: dgram.Socket, ...args: unknown[]): unknown {
    const [port, address] = args;
    const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined;
    const plain = typeof address !== 'string' || isLoopback(address) || address === 'localhost' || isGroup(address);
    if (plain || typeof port !== 'number' || relayed.get(this)?.remote !== undefined)
      return Reflect.apply(connect as AnyFunction, this, args as never[]);
    if (callback !== undefined) this.once('connect', callback);
    resolve(this, address, undefined, (found) => {
      const connected = (): void => {
        const state = relayed.get(this);
        if (state !== undefined) state.remote = { address: found, port };
        this.emit('connect');
      };
      const lost = (): void => {
        if (callback !== undefined) this.off('connect', callback);
        const failure = Object.assign(new Error(`connect EHOSTUNREACH ${found}:${port}`), { code: 'EHOSTUNREACH' });
        if (callback !== undefined) (callback as Callback)(failure);
        else this.emit('error', failure);
      };
      withRelay(this, connected, lost);
    });
    return undefined;
  }

  function patchedEmit(this: dgram.Socket, event: string, ...args: unknown[]): boolean {
    const state = relayed.get(this);
    const from = args[1] as dgram.RemoteInfo | undefined;
    if (
      event !== 'message' ||
      state === undefined ||
      from === undefined ||
      from.port !== state.port ||
      !isLoopback(from.address)
    )
      return Reflect.apply(emit as AnyFunction, this, [event, ...args] as never[]) as boolean;
    const datagram = readDatagram(args[0] as Buffer);
    if (datagram === undefined) return false;
    const { data } = datagram;
    const { host: address, port } = datagram.destination;
    const family = isIP(address) === 6 ? 'IPv6' : 'IPv4';
    const info = { address, port, family, size: data.length };
    return Reflect.apply(emit as AnyFunction, this, ['message', data, info] as never[]) as boolean;
  }

  Reflect.set(prototype, 'send', patchedSend);
  Reflect.set(prototype, 'connect', patchedConnect);
  Reflect.set(prototype, 'emit', patchedEmit);
  Reflect.set(prototype, 'disconnect', function (this: dgram.Socket) {
    const state = relayed.get(this);
    if (state?.remote === undefined) return Reflect.apply(disconnect, this, []);
    state.remote = undefined;
  });
  Reflect.set(prototype, 'remoteAddress', function (this: dgram.Socket) {
    const remote = relayed.get(this)?.remote;
    if (remote === undefined) return Reflect.apply(remoteAddress, this, []);
    return { address: remote.address, port: remote.port, family: isIP(remote.address) === 6 ? 'IPv6' : 'IPv4' };
  });
}

/** The address of a name, by the patched dns.lookup(); a name that is not known is told as dgram tells it. */
function resolve(
  socket: dgram.Socket,
  host: string,
  callback: Callback | undefined,
  found: (address: string) => void,
): void {
  if (isIP(host) !== 0) {
    found(host);
    return;
  }
  const family = Reflect.get(socket, 'type') === 'udp6' ? 6 : 4;
  dns.lookup(host, { family }, (error, address) => {
    if (error === null) found(address);
    else if (callback !== undefined) callback(error);
    else socket.emit('error', error);
  });
}

function isBound(socket: dgram.Socket): boolean {
  try {
    return socket.address().port > 0;
  } catch {
    return false; // EBADF: not yet
  }
}

/** bind() has been called and waits for its lookup; asking again would throw. */
function isBinding(socket: dgram.Socket): boolean {
  const symbol = Object.getOwnPropertySymbols(socket).find((entry) => entry.description === 'state symbol');
  const state: unknown = symbol === undefined ? undefined : Reflect.get(socket, symbol);
  return typeof state === 'object' && state !== null && Reflect.get(state, 'bindState') !== 0;
}

/** Multicast and broadcast stay on the laptop's network. */
function isGroup(address: string): boolean {
  return /^(?:2(?:2[4-9]|3\d)\.|255\.255\.255\.255$|ff[0-9a-f]{2}:)/i.test(address);
}

/**
 * The arguments of send(msg[, offset, length][, port][, address][, callback]).
 * @returns undefined for what the original has to refuse
 */
function readSend(
  args: readonly unknown[],
  connected: boolean,
): { data: Buffer; port: number | undefined; address: string | undefined; callback: Callback | undefined } | undefined {
  const callback = typeof args.at(-1) === 'function' ? (args.at(-1) as Callback) : undefined;
  const rest = callback === undefined ? [...args] : args.slice(0, -1);
  while (rest.length > 1 && rest.at(-1) === undefined) rest.pop();
  const [message, ...numbers] = rest;
  const data = toBuffer(message);
  if (data === undefined) return undefined;
  const sliced = connected ? numbers.length >= 2 : numbers.length >= 3;
  const [offset, length] = sliced ? numbers.splice(0, 2) : [0, data.length];
  if (typeof offset !== 'number' || typeof length !== 'number' || offset < 0 || offset + length > data.length)
    return undefined;
  const [port, address] = numbers;
  return {
    data: data.subarray(offset, offset + length),
    port: typeof port === 'number' ? port : typeof port === 'string' && /^\d+$/.test(port) ? Number(port) : undefined,
    address: typeof address === 'string' ? address : undefined,
    callback,
  };
}

function toBuffer(message: unknown): Buffer | undefined {
  if (typeof message === 'string') return Buffer.from(message);
  if (ArrayBuffer.isView(message)) return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  if (!Array.isArray(message)) return undefined;
  const parts = message.map(toBuffer);
  return parts.includes(undefined) ? undefined : Buffer.concat(parts.filter((part) => part !== undefined));
}
