import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import { Mux, type MuxOptions, type MuxStream } from '../../../src/mux/mux.ts';
import type { Transport } from '../../../src/mux/transport.ts';
import { acceptWebSocket, connectWebSocket } from '../../../src/net/transport/websocket.ts';
import { until } from '../../support/until.ts';
import { fragileCarriers, Line, type LineOptions } from './support/line.ts';

const KIB = 1024;
const INFO = { kind: 'incoming', port: 8080, host: '10.1.2.3' } as const;
const LIMITS = { ackEveryBytes: 64 * KIB, ackDelayMs: 2 };

let line: Line;
let session: Mux;
let agent: Mux;
let onOpen: MuxOptions['onOpen'];
let closeServers: () => Promise<void>;

const start = (options: LineOptions = {}): void => {
  line = new Line({ redials: true, limits: LIMITS, ...options });
  const onControl = (): void => {};
  session = new Mux(line.session, { side: 'session', onOpen: (stream, info) => onOpen(stream, info), onControl });
  agent = new Mux(line.agent, { side: 'agent', onOpen: (stream, info) => onOpen(stream, info), onControl });
};
const echo = (stream: MuxStream): void => {
  stream.accept();
  void pipeline(stream, stream).catch(() => {}); // resets are part of some tests
};
/** Sends `bytes` and its end; @returns whether exactly they came back. */
const isEchoed = async (mux: Mux, bytes: number): Promise<boolean> => {
  const stream = mux.open(INFO);
  const sent = createHash('sha256');
  const received = createHash('sha256');
  const parts = function* () {
    for (let left = bytes; left > 0; ) {
      const part = randomBytes(Math.min(left, 1 + (left % (100 * KIB))));
      left -= part.byteLength;
      sent.update(part);
      yield part;
    }
  };
  await Promise.all([
    pipeline(Readable.from(parts(), { objectMode: false }), stream),
    (async () => {
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) received.update(chunk);
    })(),
  ]);
  return sent.digest('hex') === received.digest('hex');
};

beforeEach(() => {
  onOpen = echo;
  closeServers = async () => {};
});
afterEach(async () => {
  await Promise.all([session.close(), agent.close()]);
  line.close();
  await closeServers();
  for (const mux of [session, agent]) {
    await until(() => mux.stats().openStreams === 0, 'streams gone');
    assert.deepEqual(mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
  }
});

test('streams of any size go through carriers that break after any number of messages, byte for byte', async () => {
  const life = fc.integer({ min: 4, max: 60 });
  const bytes = fc.array(fc.integer({ min: 0, max: 1500 * KIB }), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 20 }), bytes, async (lives, sizes) => {
      let carriers = 0;
      start({ carriers: fragileCarriers(() => lives[carriers++] ?? 100_000) });
      void line.dial();
      const echoed = await Promise.all(sizes.map((size, n) => isEchoed(n % 2 === 0 ? agent : session, size)));
      assert.ok(echoed.every(Boolean));
      await until(() => agent.stats().openStreams + session.stats().openStreams === 0, 'streams gone');
      await Promise.all([session.close(), agent.close()]);
    }),
    { numRuns: 20, endOnFailure: true },
  );
});

test('resets and refusals before, in and after a gap arrive as what they are', async () => {
  start({ redials: false });
  const accepted: MuxStream[] = [];
  onOpen = (stream) => {
    if (stream.info.port === 1) stream.refuse('not-found');
    else {
      accepted.push(stream);
      stream.accept();
    }
  };
  await line.dial();
  const streams = Array.from({ length: 4 }, () => session.open(INFO));
  await Promise.all(streams.map((stream) => stream.opened));
  line.cut();
  await until(() => !line.session.isAttached && !line.agent.isAttached, 'cut');
  streams[0]?.resetAndDestroy();
  accepted[1]?.resetAndDestroy('timeout');
  accepted[2]?.end('answer');
  const refused = session.open({ ...INFO, port: 1 });
  const never = session.open(INFO);
  never.destroy();
  await line.dial();
  await assert.rejects(refused.opened, { reason: 'not-found' });
  await until(() => accepted[0]?.resetReason === 'reset', 'the first is reset at the other end');
  await until(() => streams[1]?.resetReason === 'timeout', 'the second is reset here');
  assert.equal(String((await once(streams[2] ?? never, 'data'))[0]), 'answer');
  streams[3]?.end('more');
  assert.equal(String((await once(accepted[3] ?? never, 'data'))[0]), 'more');
  assert.equal(accepted.length, 4, 'what was given up in the gap is never opened');
  for (const stream of streams) stream.destroy();
});

test('in a gap a writer is held back, and both sides hold no more than before it', async () => {
  start({ redials: false });
  await line.dial();
  const stream = session.open(INFO);
  await stream.opened;
  line.cut();
  await until(() => !line.session.isAttached, 'cut');
  let written = 0;
  while (stream.write(Buffer.alloc(16 * KIB))) written += 16 * KIB;
  assert.ok(written <= 64 * KIB);
  assert.ok(session.stats().queuedBytes <= 64 * KIB);
  assert.ok(line.session.unackedBytes < 64 * KIB);
  stream.resume();
  await line.dial();
  await until(() => session.stats().queuedBytes === 0 && line.session.unackedBytes === 0, 'it moves again');
  stream.destroy();
});

test('the end of a link resets its streams, and a violation is not resumed', async () => {
  start();
  await line.dial();
  const stream = agent.open(INFO);
  await stream.opened;
  line.session.send(Buffer.from([3, 0, 0, 0])); // a header cut short
  const [reason, other] = await Promise.all([agent.closed, session.closed]);
  assert.ok(reason instanceof InterceptorError && reason.code === 'PROTOCOL_BAD_FRAME');
  assert.ok(other instanceof InterceptorError && other.code === 'TUNNEL_LOST');
  assert.equal(stream.resetReason, 'gone');
  assert.equal(line.carriers, 1);
});

test('close() in a gap does not wait', async () => {
  start({ redials: false });
  await line.dial();
  const stream = session.open(INFO);
  await stream.opened;
  line.cut();
  await until(() => !line.session.isAttached, 'cut');
  await session.close();
  assert.equal(await session.closed, undefined);
  assert.equal(stream.resetReason, 'gone');
});

/** A TCP relay that resets each connection after `bytesUntilCut()` bytes, either way. */
const startRelay = async (targetPort: number, bytesUntilCut: () => number): Promise<Server> => {
  const relay = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1');
    let left = bytesUntilCut();
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => {}).on('close', () => to.destroy());
      from.on('data', (chunk) => {
        to.write(chunk.subarray(0, left));
        left -= Math.min(left, chunk.byteLength);
        if (left > 0) return;
        near.resetAndDestroy();
        far.resetAndDestroy();
      });
    }
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  return relay;
};
const portOf = (server: { address(): string | AddressInfo | null }): number => (server.address() as AddressInfo).port;

test('WebSockets that are reset in the middle of messages lose nothing', async () => {
  const server = createHttpServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const waiting: ((transport: Transport) => void)[] = [];
  acceptWebSocket(server, { pathSuffix: '/tunnel', onTransport: (transport) => waiting.shift()?.(transport) });
  let cuts = 0;
  const relay = await startRelay(portOf(server), () => (++cuts > 25 ? Number.POSITIVE_INFINITY : 40_000 * cuts));
  closeServers = async () => {
    for (const each of [relay, server]) await new Promise((resolve) => each.close(resolve));
  };
  const carriers = async (): Promise<{ session: Transport; agent: Transport }> => {
    const accepted = new Promise<Transport>((resolve) => waiting.push(resolve));
    const url = `ws://127.0.0.1:${portOf(relay)}/tunnel`;
    const dialled = await connectWebSocket({ url, signal: AbortSignal.timeout(10_000), deadlineMs: 10_000 });
    return { session: dialled, agent: await accepted };
  };
  start({ carriers });
  await line.dial();
  const sizes = [3_000_000, 2_500_000, 1, 700_000, 1_900_000, 4_000_000];
  const echoed = await Promise.all(sizes.map((size, n) => isEchoed(n % 2 === 0 ? agent : session, size)));
  assert.ok(echoed.every(Boolean));
  assert.ok(line.carriers > 10, `${line.carriers} carriers`);
});
