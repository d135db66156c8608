// Runs in the caller pod of test/e2e/strangers.test.ts: <verb> <host> <port> [<key>]. Says what became of it as one JSON value on stdout.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { InterceptorError } from '../../../src/errors.ts';
import { toStreamId } from '../../../src/ids.ts';
import { sessionHandshake } from '../../../src/mux/handshake.ts';
import type { Transport } from '../../../src/mux/transport.ts';
import { connectWebSocket } from '../../../src/net/transport/websocket.ts';
import { decodeMessage, encodeFrame } from '../../../src/protocol/codec.ts';
import { KEY_BYTES, parseTunnelKey } from '../../../src/protocol/handshake.ts';

const [verb = '', host = '', portText = '', argument = ''] = process.argv.slice(2);
const port = Number(portText);
const DIAL_MS = 30_000;
/** A flood without it would keep the machine busy, which is another test. */
const REDIAL_MS = 100;
const SESSION = { sessionId: 'stranger', user: 'mallory', host: 'elsewhere' };

async function dial(): Promise<Transport> {
  return await connectWebSocket({
    url: `wss://${host.includes(':') ? `[${host}]` : host}:${port}/tunnel`,
    tls: { rejectUnauthorized: false },
    signal: AbortSignal.timeout(DIAL_MS),
    deadlineMs: DIAL_MS,
  });
}

/** Sends messages once the agent has spoken, and tells what it says until it closes. */
async function converse(...messages: readonly Uint8Array[]): Promise<unknown> {
  const startedAt = performance.now();
  const transport = await dial();
  const heard: string[] = [];
  await new Promise<void>((resolve) => {
    transport.onClose = () => resolve();
    transport.onMessage = (message) => {
      for (const frame of decodeMessage(message)) {
        heard.push(frame.type === 'control' ? JSON.parse(frame.text).type : frame.type);
      }
      for (const said of heard.length === 1 ? messages : []) transport.send(said);
    };
    transport.resume();
  });
  return { heard, closedAfterMs: Math.round(performance.now() - startedAt) };
}

async function shakeHands(key: Uint8Array): Promise<{ outcome: string; sent: Uint8Array[] }> {
  const transport = await dial();
  const sent: Uint8Array[] = [];
  const send = transport.send.bind(transport);
  transport.send = (message) => {
    sent.push(Uint8Array.from(message));
    send(message);
  };
  try {
    await sessionHandshake(transport, { key, session: SESSION, deadlineMs: DIAL_MS });
    transport.terminate();
    return { outcome: 'welcome', sent };
  } catch (error) {
    return { outcome: error instanceof InterceptorError ? `${error.code}: ${error.message}` : String(error), sent };
  }
}

/** Connects and says nothing; tells how long that is borne. */
async function idle(socket: Socket, ready: string): Promise<unknown> {
  const startedAt = performance.now();
  socket.on('error', () => {});
  await once(socket, ready);
  let receivedBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    receivedBytes += chunk.byteLength;
  });
  await once(socket, 'close');
  return { receivedBytes, closedAfterMs: Math.round(performance.now() - startedAt) };
}

async function httpGet(path: string): Promise<unknown> {
  const request = get({ host, port, path, rejectUnauthorized: false, agent: false });
  const [response] = await once(request, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return {
    path,
    status: response.statusCode,
    body: Buffer.concat(chunks).toString(),
    headers: Object.keys(response.headers).sort(),
  };
}

const text = (value: unknown): Uint8Array => encodeFrame({ type: 'control', text: JSON.stringify(value) });

const VERBS: Record<string, () => Promise<unknown>> = {
  tcp: () => idle(connect(port, host), 'connect'),
  tls: () => idle(connectTls({ host, port, rejectUnauthorized: false }), 'secureConnect'),
  silent: () => converse(),
  async 'no-proof'() {
    const info = { kind: 'tcp', port: 8080, host: '127.0.0.1' } as const;
    const open = encodeFrame({
      type: 'open',
      streamId: toStreamId(1),
      ...info,
      firstBytes: Buffer.from('GET / HTTP/1.0\r\n\r\n'),
    });
    const claim = text({
      type: 'request',
      id: 1,
      method: 'claim',
      params: { intercepts: [], replaces: [], takeOver: false, holdMs: 0 },
    });
    return [
      await converse(open),
      await converse(claim),
      await converse(Buffer.from('nonsense')),
      await converse(Buffer.alloc(900_000)),
    ];
  },
  async 'wrong-key'() {
    return (await shakeHands(Buffer.alloc(KEY_BYTES, 7))).outcome;
  },
  /** What a session with the key said, said again by another. */
  async replay() {
    const { outcome, sent } = await shakeHands(parseTunnelKey(argument));
    return { outcome, replayed: await converse(...sent) };
  },
  http: () =>
    Promise.all(['/', '/readyz', '/tunnel', '/env', '/metrics', '/.well-known/kube-intercept-proof/abc'].map(httpGet)),
  /** Keeps `argument` silent connections open, half of them behind an upgrade, until the process is told to stop. */
  async flood() {
    writeFileSync(`/tmp/flood-${host}.pid`, `${process.pid}\n`);
    let cut = 0;
    let isOver = false;
    const over = new Promise<void>((resolve) => {
      process.once('SIGTERM', () => {
        isOver = true;
        resolve();
      });
    });
    const keepOne = async (index: number): Promise<void> => {
      while (!isOver) {
        if (index % 2 === 0) await idle(connect(port, host), 'connect').catch(() => {});
        else await converse().catch(() => {});
        cut += 1;
        await delay(REDIAL_MS);
      }
    };
    for (let index = 0; index < Number(argument); index++) void keepOne(index);
    await over;
    return { cut };
  },
  /** Sends text (or, with "tls", a ClientHello) to a port and tells what comes back. */
  async raw() {
    if (argument === 'tls') {
      const socket = connectTls({ host, port, rejectUnauthorized: false });
      return await new Promise((resolve) => {
        socket.on('secureConnect', () => resolve('TLS'));
        socket.on('error', () => resolve('no TLS'));
      });
    }
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.write(argument);
    let answer = '';
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
    });
    await once(socket, 'end');
    return answer;
  },
};

const result = await VERBS[verb]?.();
process.stdout.write(JSON.stringify(result ?? null), () => process.exit(0));
