import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterEach, test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from '../../../src/mux/limits.ts';
import { Link } from '../../../src/mux/link.ts';
import { Patience } from '../../../src/mux/patience.ts';
import { BEGINNING } from '../../../src/mux/resume-point.ts';
import { encodeFrame } from '../../../src/protocol/codec.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';
import { fragileCarriers, Line, numbered, numbersOf, turns } from './support/line.ts';

const lines: Line[] = [];
afterEach(() => {
  for (const line of lines.splice(0)) line.close();
});
const open = (...options: ConstructorParameters<typeof Line>): Line => {
  const line = new Line(...options);
  lines.push(line);
  return line;
};

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
type Step =
  | { readonly do: 'send'; readonly from: 'session' | 'agent'; readonly bytes: number }
  | { readonly do: 'cut' | 'dial' }
  | { readonly do: 'stall'; readonly from: 'session' | 'agent' }
  | { readonly do: 'turns'; readonly count: number };
const side = fc.constantFrom('session' as const, 'agent' as const);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('send' as const), from: side, bytes: fc.nat(20_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('cut' as const, 'dial' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stall' as const), from: side }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('turns' as const), count: fc.nat(4) }) },
);

test('whatever breaks whenever, every message arrives once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const line = open({ limits: { ackEveryBytes: 30_000, ackDelayMs: 1 } });
      const got = { session: numbersOf(line.session), agent: numbersOf(line.agent) };
      const sent = { session: 0, agent: 0 };
      await line.dial();
      for (const each of steps) {
        if (each.do === 'send') {
          line[each.from].send(numbered(sent[each.from], each.bytes));
          sent[each.from] += 1;
        } else if (each.do === 'turns') await turns(each.count);
        else if (each.do === 'stall') line.stall(each.from);
        else if (each.do === 'cut') line.cut();
        else await line.dial(); // also over a carrier that still stands
      }
      await line.dial();
      await until(() => got.session.length >= sent.agent && got.agent.length >= sent.session, 'all has arrived');
      await until(() => line.session.unackedBytes + line.agent.unackedBytes === 0, 'all is acknowledged');
      assert.deepEqual(got, { session: upTo(sent.agent), agent: upTo(sent.session) });
      line.close();
      assert.equal(line.session.timers + line.agent.timers, 0);
    }),
    { numRuns: 80, endOnFailure: true },
  );
});

test('carriers that break after every few messages, the handshake included, do not keep messages from arriving', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 30 }), async (lives) => {
      let carriers = 0;
      const carriersOf = fragileCarriers(() => lives[carriers++] ?? 10_000);
      const line = open({ redials: true, carriers: carriersOf, limits: { ackDelayMs: 1, ackEveryBytes: 2_000 } });
      const got = { session: numbersOf(line.session), agent: numbersOf(line.agent) };
      void line.dial();
      for (let n = 0; n < 100; n += 1) {
        line.session.send(numbered(n, 300));
        line.agent.send(numbered(n, 300));
        if (n % 10 === 0) await turns(2);
      }
      await until(() => got.session.length >= 100 && got.agent.length >= 100, 'all has arrived');
      assert.deepEqual(got, { session: upTo(100), agent: upTo(100) });
      line.close();
    }),
    { numRuns: 40, endOnFailure: true },
  );
});

test('what is sent while there is no carrier waits, and bufferedBytes says so', async () => {
  const line = open();
  const got = numbersOf(line.agent);
  await line.dial();
  line.cut();
  await until(() => !line.session.isAttached, 'lost');
  assert.ok(line.session.detachedSinceMs !== undefined);
  assert.ok(line.session.bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES);
  line.session.send(numbered(0));
  await turns(5);
  assert.deepEqual(got, []);
  let drained = 0;
  line.session.onDrain = () => {
    drained += 1;
  };
  await line.dial();
  await until(() => got.length === 1, 'it arrives');
  assert.ok(drained > 0);
  assert.equal(line.session.detachedSinceMs, undefined);
  assert.ok(line.session.bufferedBytes < TRANSPORT_HIGH_WATER_BYTES);
});

test('a link without a carrier for its time is over, and says why', async () => {
  const line = open({ resumeForMs: 30 });
  await line.dial();
  const ends = [line.session, line.agent].map(
    (link) =>
      new Promise<Error | undefined>((resolve) => {
        link.onClose = resolve;
      }),
  );
  line.cut();
  for (const error of await Promise.all(ends)) {
    assert.ok(error instanceof InterceptorError && error.code === 'TUNNEL_LOST');
    assert.match(error.message, /no carrier for 0.03 s: carrier cut by the test/);
  }
  assert.equal(line.session.timers, 0);
});

test.each(['close', 'terminate'] as const)('a %s is the end at both ends at once, with a carrier', async (how) => {
  const line = open();
  const got = numbersOf(line.agent);
  await line.dial();
  const ends = [line.session, line.agent].map(
    (link) =>
      new Promise<Error | undefined>((resolve) => {
        link.onClose = resolve;
      }),
  );
  line.session.send(numbered(0));
  line.session[how]();
  assert.deepEqual(await Promise.all(ends), [undefined, undefined]);
  assert.deepEqual(got, [0]);
  assert.deepEqual(line.lost, []);
  assert.equal(line.session.timers + line.agent.timers, 0);
});

test('a carrier that someone between closed in order is a lost carrier all the same', async () => {
  const line = open();
  const got = numbersOf(line.agent);
  const [session, agent] = MemoryTransport.pair();
  line.session.attach(session, BEGINNING);
  line.agent.attach(agent, BEGINNING);
  agent.close();
  await until(() => line.lost.length === 1, 'lost');
  line.session.send(numbered(0));
  await line.dial();
  await until(() => got.length === 1, 'it goes on');
});

test('a half-dead carrier is found by the end that hears nothing, and the link goes on over the next', async () => {
  const line = open({ redials: true, limits: { pingIntervalMs: 20, pingDeadlineMs: 40 } });
  const got = numbersOf(line.session);
  await line.dial();
  line.stall('agent');
  line.agent.send(numbered(0));
  await until(() => got.length === 1, 'it arrives over the next carrier');
  assert.match(line.lost[0] ?? '', /silent/);
});

test('messages sent again are not taken for new ones where more had come than the handshake said', async () => {
  const link = new Link({ resumeForMs: 1_000 });
  const got = numbersOf(link);
  const [first, peer] = MemoryTransport.pair();
  link.attach(first, BEGINNING);
  peer.send(numbered(0));
  await until(() => got.length === 1, 'one has come');
  const told = link.received;
  peer.send(numbered(1));
  peer.send(numbered(2));
  await until(() => got.length === 3, 'two more while the handshake is on its way');
  const [second, next] = MemoryTransport.pair();
  link.attach(second, { received: told, peerReceived: 0 });
  for (const n of [1, 2, 3]) next.send(numbered(n));
  await until(() => got.length === 4, 'the new one has come');
  assert.deepEqual(got, [0, 1, 2, 3]);
  link.terminate();
});

test('a message gives its memory back once it is acknowledged and no carrier reads it', async () => {
  const link = new Link({ resumeForMs: 30_000 });
  const [transport, wire] = MemoryTransport.pair();
  wire.onMessage = () => {};
  let taken: (() => void) | undefined;
  const send = transport.send.bind(transport);
  transport.send = (message: Uint8Array, onSent?: () => void) => {
    if (message[0] === 3) taken = onSent;
    send(message);
  };
  link.attach(transport, BEGINNING);
  let free = 0;
  const onSent = (): void => {
    free += 1;
  };
  link.send(numbered(0), onSent);
  taken?.();
  assert.equal(free, 0);
  wire.send(encodeFrame({ type: 'ack', messages: 1n }));
  await until(() => free === 1, 'taken, then acknowledged');
  link.send(numbered(1), onSent);
  wire.send(encodeFrame({ type: 'ack', messages: 2n }));
  await until(() => link.unackedBytes === 0, 'acknowledged');
  assert.equal(free, 1);
  taken?.();
  assert.equal(free, 2);
  link.terminate();
});

test('a message of some KiB does not hold the large buffer it was written into', () => {
  const link = new Link({ resumeForMs: 30_000 });
  let free = 0;
  const large = Buffer.allocUnsafeSlow(128 * 1024);
  link.send(large.subarray(0, 9_000), () => {
    free += 1;
  });
  assert.equal(free, 1);
  link.send(large.subarray(0, 100_000), () => {
    free += 1;
  });
  assert.equal(free, 1);
  link.terminate();
});

test('a link that is not to be resumed keeps and acknowledges nothing, and ends with its carrier', async () => {
  const line = open({ resumeForMs: 0, limits: { ackDelayMs: 1 } });
  const got = numbersOf(line.agent);
  await line.dial();
  const ended = new Promise<Error | undefined>((resolve) => {
    line.agent.onClose = resolve;
  });
  line.session.send(numbered(0));
  await until(() => got.length === 1, 'it arrives');
  assert.equal(line.session.unackedBytes, 0);
  line.cut();
  assert.match((await ended)?.message ?? '', /cut/);
  assert.deepEqual(line.lost, []);
});

test('a line that never moves a message is given more time, less so by a side with nothing to send', () => {
  const patience = new Patience();
  const factors: number[][] = [];
  for (let carrier = 0; carrier < 5; carrier += 1) {
    factors.push([patience.factor(true), patience.factor(false)]);
    patience.silent();
    patience.gone();
  }
  assert.deepEqual(factors, [
    [1, 1],
    [2, 1.5],
    [4, 1.5],
    [8, 1.5],
    [8, 1.5],
  ]);
  patience.hasMoved = true;
  patience.silent();
  patience.gone();
  assert.equal(patience.factor(true), 1);
});
