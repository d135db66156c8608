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
import { computeProof, KEY_BYTES, parseTunnelKey } from '../../../src/protocol/handshake.ts';
import { KeyAgreement } from '../../../src/protocol/key-agreement.ts';

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

const UPGRADE =
  'GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n';

/** Says parts, each once something was answered, and tells how many bytes came until it was closed. */
async function rawTls(...parts: readonly (string | Buffer)[]): Promise<unknown> {
  const socket = connectTls({ host, port, rejectUnauthorized: false });
  let heard = '';
  let next = 0;
  const say = (): void => {
    const part = parts[next++];
    if (part !== undefined) socket.write(part);
  };
  socket.once('secureConnect', say);
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
    say();
  });
  socket.on('error', () => {}); // reset: 'close' follows
  await new Promise((resolve) => socket.once('close', resolve));
  return { status: /^HTTP\/1\.1 (\d+)/.exec(heard)?.[1] };
}

/** A proof for a nonce that the agent did not give on that connection, all else as it must be. */
async function proofOf(version: number, key: Uint8Array): Promise<Record<string, unknown>> {
  const nonce = Buffer.alloc(KEY_BYTES, 1).toString('base64url');
  const ecdh = new KeyAgreement().publicKey;
  const link = { id: 'A'.repeat(22), begun: false, received: 0, resumeMs: 0 };
  const both = { agentNonce: nonce, sessionNonce: nonce, agentEcdh: ecdh, sessionEcdh: ecdh };
  const mac = computeProof(key, 'session', { versions: [version], version, ...both, session: SESSION, pod: 'a', link });
  return { type: 'proof', version, nonce, ecdh, session: SESSION, link, mac };
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
  /** With the key, but in words of an older version: once chosen, and once without a link and a key agreement. */
  async downgrade() {
    const proof = await proofOf(1, parseTunnelKey(argument));
    const { link: _link, ecdh: _ecdh, ...ofVersion1 } = proof;
    return [
      await converse(text(proof)),
      await converse(text(ofVersion1)),
      await converse(text({ ...proof, version: 2 })),
    ];
  },
  /** More than a handshake may have, by a header, by a frame's own word, and by pieces of one message. */
  async oversize() {
    const head = Buffer.alloc(10);
    head.writeUInt16BE(0x82ff);
    head.writeBigUInt64BE(1n << 40n, 2);
    const long = 'x'.repeat(1_000_000);
    return [
      await rawTls(`GET /tunnel HTTP/1.1\r\nHost: a\r\nX-Long: ${long}\r\n\r\n`),
      await rawTls(UPGRADE, head),
      await converse(text({ type: 'proof', mac: 'A'.repeat(100_000) })),
      await converse(Buffer.alloc(4 * 1024 * 1024)),
    ].map((outcome) => JSON.stringify(outcome));
  },
  /** Asks the drain port, from many connections at once. */
  async drain() {
    const asked = Array.from({ length: Number(argument) }, async () => {
      const response = await fetch(`http://${host.includes(':') ? `[${host}]` : host}:${port}/drain`, {
        method: 'POST',
      });
      return response.status;
    });
    const ended = await Promise.allSettled(asked);
    return ended.map((one) => (one.status === 'fulfilled' ? one.value : 'cut'));
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
