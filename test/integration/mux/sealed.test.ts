import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import { SEAL_BYTES, sealTransport } from '../../../src/mux/sealed.ts';
import type { Transport } from '../../../src/mux/transport.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';

/** Both ends sealed; between them a middleman, who is the test. */
let session: Transport;
let agent: Transport;
let toAgent: MemoryTransport;
let toSession: MemoryTransport;
let heard: string[];
let atSession: string[];
let ended: Promise<Error | undefined>;

const keys = { sessionToAgent: randomBytes(32), agentToSession: randomBytes(32) };

beforeEach(() => {
  const [sessionCarrier, middle] = MemoryTransport.pair();
  const [agentCarrier, other] = MemoryTransport.pair();
  toSession = middle;
  toAgent = other;
  session = sealTransport(sessionCarrier, 'session', keys);
  agent = sealTransport(agentCarrier, 'agent', keys);
  heard = [];
  atSession = [];
  agent.onMessage = (message) => heard.push(Buffer.from(message).toString());
  session.onMessage = (message) => atSession.push(Buffer.from(message).toString());
  ended = new Promise((resolve) => {
    agent.onClose = resolve;
  });
});

/** What the middleman reads of what the session says. */
const overhear = async (...messages: string[]): Promise<Uint8Array[]> => {
  const sealed: Uint8Array[] = [];
  toSession.onMessage = (message) => sealed.push(message);
  for (const message of messages) session.send(Buffer.from(message));
  await until(() => sealed.length === messages.length, 'overheard');
  return sealed;
};
const isRefused = async (): Promise<void> => {
  const error = await ended;
  assert.ok(error instanceof InterceptorError);
  assert.equal(error.code, 'TUNNEL_UNAUTHENTICATED');
  assert.equal(error.message, 'a message that the other end did not send');
};

test('whatever is said arrives as it was, both ways, in order, and is not to be read between', async () => {
  const seen: Uint8Array[] = [];
  toSession.onMessage = (message) => {
    seen.push(message);
    toAgent.send(message);
  };
  toAgent.onMessage = (message) => toSession.send(message);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 2_000 }), { maxLength: 8 }), async (messages) => {
      heard.length = 0;
      atSession.length = 0;
      for (const message of messages) {
        session.send(message);
        agent.send(message);
      }
      const wanted = messages.map((message) => Buffer.from(message).toString());
      await until(() => heard.length === wanted.length && atSession.length === wanted.length, 'all has come');
      assert.deepEqual(heard, wanted);
      assert.deepEqual(atSession, wanted);
    }),
    { numRuns: 50 },
  );
  const secret = 'authorization: a long enough word to be looked for';
  session.send(Buffer.from(secret));
  await until(() => heard.includes(secret), 'arrived');
  assert.ok(!Buffer.concat(seen).includes('authorization'));
  assert.ok(seen.every((message) => message.byteLength >= SEAL_BYTES));
});

test('the same message looks different each time, and in each direction', async () => {
  const sealed = await overhear('same', 'same');
  const back: Uint8Array[] = [];
  toAgent.onMessage = (message) => back.push(message);
  agent.send(Buffer.from('same'));
  await until(() => back.length === 1, 'overheard');
  assert.equal(new Set([...sealed, ...back].map((message) => Buffer.from(message).toString('hex'))).size, 3);
});

test('a message with any bit changed is refused', async () => {
  const [message = new Uint8Array()] = await overhear('attack at dawn');
  const bit = fc.sample(fc.nat(message.byteLength * 8 - 1), 1)[0] ?? 0;
  const changed = Uint8Array.from(message);
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  toAgent.send(changed);
  await isRefused();
  assert.deepEqual(heard, []);
});

test.each<[string, (first: Uint8Array, second: Uint8Array) => Uint8Array[]]>([
  ['said again', (first) => [first, first]],
  ['in another order', (first, second) => [second, first]],
  ['left out', (_first, second) => [second]],
  ['cut short', (first) => [first.subarray(0, first.byteLength - 1)]],
  ['cut at the front', (first) => [first.subarray(1)]],
  ['shorter than a seal', (first) => [first.subarray(0, SEAL_BYTES - 1)]],
  ['empty', () => [new Uint8Array()]],
  ['made longer', (first) => [Buffer.concat([first, Buffer.from([0])])]],
  ['two in one', (first, second) => [Buffer.concat([first, second])]],
  ['not sealed at all', () => [Buffer.from('attack at dawn, a long text in the clear')]],
])('a message that is %s ends the carrier', async (_name, meddle) => {
  const [first = new Uint8Array(), second = new Uint8Array()] = await overhear('one', 'two');
  for (const message of meddle(first, second)) toAgent.send(message);
  await isRefused();
  assert.ok(heard.length <= 1);
});

test("a side's own message sent back to it is refused", async () => {
  const back: Uint8Array[] = [];
  toAgent.onMessage = (message) => back.push(message);
  agent.send(Buffer.from('mine'));
  await until(() => back.length === 1, 'overheard');
  toAgent.send(back[0] ?? new Uint8Array());
  await isRefused();
});

test('a message of another carrier of the same tunnel is refused', async () => {
  const others = { sessionToAgent: randomBytes(32), agentToSession: keys.agentToSession };
  const [carrier, middle] = MemoryTransport.pair();
  const other = sealTransport(carrier, 'session', others);
  middle.onMessage = (message) => toAgent.send(message);
  other.send(Buffer.from('hello'));
  await isRefused();
});

test('nothing behind a refused message is heard', async () => {
  const [first = new Uint8Array()] = await overhear('one');
  toAgent.send(Buffer.alloc(40));
  toAgent.send(first);
  await isRefused();
  assert.deepEqual(heard, []);
});
