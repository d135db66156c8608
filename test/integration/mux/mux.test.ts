import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { finished, pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import type { MuxLimits } from '../../../src/mux/limits.ts';
import { Mux, type MuxOptions, type MuxStream, StreamResetError } from '../../../src/mux/mux.ts';
import type { ControlMessage } from '../../../src/protocol/control.ts';
import { INITIAL_WINDOW_BYTES } from '../../../src/protocol/limits.ts';
import { CARRIERS, type CarrierPair } from '../../support/carriers.ts';
import { until } from '../../support/until.ts';

// In one file: every test runs over each kind of carrier, between the same two ends.
const KIB = 1024;
const MIB = 1024 * KIB;
const INFO = { kind: 'incoming', port: 8080, host: '10.1.2.3' } as const;

describe.each(CARRIERS)('mux over $name', ({ connect }) => {
  let pair: CarrierPair;
  let agent: Mux;
  let session: Mux;
  let onOpen: MuxOptions['onOpen'];
  const controls: ControlMessage[] = [];

  const start = (limits: Partial<MuxLimits> = {}): void => {
    session = new Mux(pair.session, {
      side: 'session',
      onOpen: (stream, info) => onOpen(stream, info),
      onControl: (message) => controls.push(message),
      limits,
    });
    agent = new Mux(pair.agent, {
      side: 'agent',
      onOpen: (stream, info) => onOpen(stream, info),
      onControl: (message) => controls.push(message),
      limits,
    });
  };
  const echo = (stream: MuxStream): void => {
    stream.accept();
    void pipeline(stream, stream).catch(() => {}); // resets are part of some tests
  };

  beforeEach(async () => {
    pair = await connect();
    controls.length = 0;
    onOpen = echo;
  });

  afterEach(async () => {
    await Promise.all([session.close(), agent.close()]);
    await Promise.all([session.closed, agent.closed]);
    await pair.close();
    for (const mux of [session, agent]) {
      await until(() => mux.stats().openStreams === 0, 'streams gone');
      assert.deepEqual(mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
    }
  });

  test('64 concurrent echoes of 2 MiB come back byte for byte', async () => {
    start();
    const ends = await Promise.all(
      Array.from({ length: 64 }, async (_, n) => {
        const stream = (n % 2 === 0 ? session : agent).open(INFO);
        const sent = createHash('sha256');
        const received = createHash('sha256');
        const parts = function* () {
          let left = 2 * MIB;
          for (let i = 0; left > 0; i += 1) {
            // From one byte to more than a frame.
            const part = Buffer.alloc(Math.min(left, 1 + ((i * 7919 + n * 104_729) % (150 * KIB))), (i + n) % 256);
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
        return [sent.digest('hex'), received.digest('hex')];
      }),
    );
    for (const [sent, received] of ends) assert.equal(received, sent);
  });

  test('the acceptor learns kind, port, host, and the first bytes without a round trip', async () => {
    start();
    const seen = new Promise<string>((resolve) => {
      onOpen = (stream, info) => {
        assert.deepEqual(info, INFO);
        stream.once('data', (chunk) => {
          stream.accept();
          stream.end();
          resolve(String(chunk));
        });
      };
    });
    const stream = agent.open(INFO);
    stream.end('first bytes');
    assert.equal(await seen, 'first bytes');
    await stream.opened;
    assert.equal(await text(stream), '');
  });

  test('an answer that begins after the request has ended arrives whole', async () => {
    start();
    onOpen = (stream) => {
      stream.accept();
      let request = '';
      // Not for await: it destroys the stream at the end.
      stream.on('data', (chunk) => {
        request += String(chunk);
      });
      stream.once('end', () => stream.end(`you said ${request}`));
    };
    const stream = agent.open(INFO);
    stream.end('hello');
    assert.equal(await text(stream), 'you said hello');
  });

  test('a server that speaks first is heard before the client says anything', async () => {
    start();
    onOpen = (stream) => {
      stream.accept();
      stream.write('220 ready');
      stream.resume().once('end', () => stream.end());
    };
    const stream = agent.open(INFO);
    const [greeting] = await once(stream, 'data');
    assert.equal(String(greeting), '220 ready');
    stream.end();
    await finished(stream.resume());
  });

  test('a refusal tells the opener why, and drops what it had sent', async () => {
    start();
    onOpen = (stream) => stream.refuse('refused');
    const stream = agent.open(INFO);
    stream.write(Buffer.alloc(100 * KIB));
    await expect(stream.opened).rejects.toMatchObject({ reason: 'refused', code: 'ECONNREFUSED' });
    assert.equal(stream.resetReason, 'refused');
    await until(() => stream.closed, 'stream closed');
  });

  test.each(['opener', 'acceptor'])('a reset by the %s after opened is a reset at the other end', async (who) => {
    start();
    const accepted = new Promise<MuxStream>((resolve) => {
      onOpen = (stream) => {
        stream.accept();
        resolve(stream);
      };
    });
    const opener = agent.open(INFO);
    await opener.opened;
    const acceptor = await accepted;
    const [resetter, other] = who === 'opener' ? [opener, acceptor] : [acceptor, opener];
    resetter.resetAndDestroy();
    const [error] = await once(other, 'error');
    assert.ok(error instanceof StreamResetError);
    assert.equal(error.code, 'ECONNRESET');
    assert.equal(other.resetReason, 'reset');
    assert.equal(resetter.resetReason, undefined);
  });

  test('a stream destroyed before it has ended is a reset, not an end, at the other end', async () => {
    start();
    onOpen = (stream) => {
      stream.accept();
      stream.write('half an answ', () => stream.destroy());
    };
    const stream = agent.open(INFO);
    await expect(text(stream)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('a reader that stops holds its peer at one window while other streams keep moving', async () => {
    start();
    let stopped: MuxStream | undefined;
    onOpen = (stream) => {
      if (stopped !== undefined) return echo(stream);
      stopped = stream;
      stream.accept();
    };
    const bulk = agent.open(INFO);
    bulk.write(Buffer.alloc(4 * MIB));
    await until(() => session.stats().queuedBytes >= INITIAL_WINDOW_BYTES, 'a window is full');
    const other = agent.open(INFO);
    other.end(Buffer.alloc(3 * MIB, 5));
    assert.equal((await buffer(other)).byteLength, 3 * MIB);
    assert.equal(session.stats().queuedBytes, INITIAL_WINDOW_BYTES);
    assert.ok(bulk.writableNeedDrain);
    bulk.resetAndDestroy();
  });

  test('a small stream is not stuck behind bulk ones', async () => {
    start();
    onOpen = (stream) => {
      if (stream.info.port === 1) {
        stream.accept();
        stream.resume();
      } else echo(stream);
    };
    const bulk = Array.from({ length: 8 }, () => agent.open({ ...INFO, port: 1 }));
    let bulkBytes = 0;
    for (const stream of bulk) {
      const chunk = Buffer.alloc(256 * KIB);
      const write = (): void => {
        if (stream.destroyed) return;
        bulkBytes += chunk.byteLength;
        stream.write(chunk, write);
      };
      write();
    }
    await until(() => bulkBytes > 16 * MIB, 'bulk is moving');
    const before = bulkBytes;
    const small = agent.open(INFO);
    small.end('quick');
    assert.equal(await text(small), 'quick');
    const passed = bulkBytes - before;
    for (const stream of bulk) stream.resetAndDestroy();
    // Behind every window it would have been 8 times up to 16 MiB.
    assert.ok(passed < 16 * MIB, `${passed} bytes of bulk went first`);
  });

  test('10,000 short streams leave nothing behind', async () => {
    start();
    const one = async (n: number): Promise<void> => {
      const stream = (n % 2 === 0 ? agent : session).open(INFO);
      stream.end(`stream ${n}`);
      assert.equal(await text(stream), `stream ${n}`);
    };
    for (let n = 0; n < 10_000; n += 200) await Promise.all(Array.from({ length: 200 }, (_, i) => one(n + i)));
    await until(() => agent.stats().openStreams + session.stats().openStreams === 0, 'all streams gone');
    assert.equal(agent.stats().queuedBytes + session.stats().queuedBytes, 0);
  });

  test('a carrier that is cut resets every stream and tells both sides', async () => {
    start();
    onOpen = (stream) => stream.accept();
    const streams = Array.from({ length: 5 }, () => agent.open(INFO));
    await Promise.all(streams.map((stream) => stream.opened));
    const errors = Promise.all(streams.map(async (stream) => (await once(stream, 'error'))[0]));
    pair.session.terminate();
    for (const error of await errors) assert.equal((error as StreamResetError).reason, 'gone');
    const reason = await agent.closed;
    assert.ok(reason instanceof InterceptorError && reason.code === 'TUNNEL_LOST');
    assert.ok((await session.closed) instanceof InterceptorError);
    assert.throws(() => agent.open(INFO), { code: 'TUNNEL_LOST' });
  });

  test('close() sends what was written before it and resolves closed with no error', async () => {
    start();
    const received = new Promise<string>((resolve) => {
      onOpen = (stream) => {
        stream.accept();
        void text(stream).then(resolve, () => resolve('cut'));
      };
    });
    const stream = agent.open(INFO);
    stream.end('last words');
    agent.sendControl({ type: 'event', event: 'draining' });
    await agent.close();
    assert.equal(await received, 'last words');
    assert.deepEqual(controls, [{ type: 'event', event: 'draining' }]);
    assert.equal(await agent.closed, undefined);
    assert.ok((await session.closed) instanceof InterceptorError);
  });

  test('more streams than the limit are refused on both sides', async () => {
    start({ maxOpenStreams: 2 });
    onOpen = (stream) => stream.accept();
    const open = [agent.open(INFO), agent.open(INFO)];
    assert.throws(() => agent.open(INFO), { code: 'STREAM_LIMIT' });
    await Promise.all(open.map((stream) => stream.opened));
    open[0]?.resetAndDestroy();
    await agent.open(INFO).opened;
    await session.open(INFO).opened;
  });

  test('a tunnel full of unread bytes resets the stream that holds most of them', async () => {
    start({ maxQueuedBytes: 600 * KIB });
    onOpen = (stream) => stream.accept();
    const small = agent.open(INFO);
    small.write(Buffer.alloc(200 * KIB));
    await small.opened;
    const large = [agent.open(INFO), agent.open(INFO)];
    for (const stream of large) stream.write(Buffer.alloc(MIB));
    const [error] = await Promise.race(large.map((stream) => once(stream, 'error')));
    assert.equal((error as StreamResetError).reason, 'limit');
    assert.ok(session.stats().queuedBytes <= 600 * KIB);
    assert.ok(!small.destroyed);
  });

  test('the round trip is known soon after the start', async () => {
    start();
    await until(() => agent.roundTripMs !== undefined && session.roundTripMs !== undefined, 'both measured');
  });
});
