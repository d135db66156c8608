import assert from 'node:assert/strict';
import { test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from '../../../src/mux/limits.ts';
import { Link } from '../../../src/mux/link.ts';
import { BEGINNING } from '../../../src/mux/resume-point.ts';
import { decodeMessage, encodeFrame, encodeMessage } from '../../../src/protocol/codec.ts';
import type { Frame } from '../../../src/protocol/frames.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';
import { numbered, numbersOf, turns } from './support/line.ts';

/** A link whose peer is the test. */
const alone = (
  limits = {},
): { link: Link; wire: MemoryTransport; heard: Frame[]; ended: Promise<Error | undefined> } => {
  const link = new Link({ resumeForMs: 30_000, limits });
  const [transport, wire] = MemoryTransport.pair();
  const heard: Frame[] = [];
  wire.onMessage = (message) => {
    if (message[0] !== 3) heard.push(...decodeMessage(message));
  };
  const ended = new Promise<Error | undefined>((resolve) => {
    link.onClose = resolve;
  });
  link.attach(transport, BEGINNING);
  return { link, wire, heard, ended };
};
const codeOf = (error: Error | undefined): string | undefined =>
  error instanceof InterceptorError ? error.code : undefined;

test('an acknowledgement of what was never sent is a violation', async () => {
  const { link, wire, ended } = alone();
  link.send(numbered(0));
  wire.send(encodeFrame({ type: 'ack', messages: 2n }));
  assert.equal(codeOf(await ended), 'PROTOCOL_BAD_FRAME');
});

test('an acknowledgement that takes one back ends the tunnel', async () => {
  const { link, wire, ended } = alone();
  for (const n of [0, 1]) link.send(numbered(n));
  await turns(2);
  wire.send(encodeFrame({ type: 'ack', messages: 2n }));
  wire.send(encodeFrame({ type: 'ack', messages: 1n }));
  assert.equal(codeOf(await ended), 'TUNNEL_LOST');
});

test.each<[string, Frame[], string]>([
  [
    'a ping and more in one message',
    [
      { type: 'ping', token: 1n },
      { type: 'ping', token: 2n },
    ],
    'PROTOCOL_BAD_FRAME',
  ],
  ['an acknowledgement beyond all numbers', [{ type: 'ack', messages: 2n ** 64n - 1n }], 'PROTOCOL_BAD_FRAME'],
])('%s ends the tunnel, and nothing is resumed', async (_name, frames, code) => {
  const { link, wire, ended, heard } = alone();
  wire.send(encodeMessage(frames));
  assert.equal(codeOf(await ended), code);
  assert.throws(() => link.attach(MemoryTransport.pair()[0], BEGINNING), { code: 'TUNNEL_LOST' });
  await until(() => heard.some((frame) => frame.type === 'close'), 'the peer is told');
});

test('a frame of the link that is cut short ends the tunnel', async () => {
  const { wire, ended } = alone();
  wire.send(Buffer.from([7, 0, 0]));
  assert.equal(codeOf(await ended), 'PROTOCOL_BAD_FRAME');
});

test.each([
  ['what was never sent', { received: 0, peerReceived: 3 }, 'PROTOCOL_BAD_FRAME'],
  ['what was given up', { received: 0, peerReceived: 0 }, 'TUNNEL_LOST'],
  ['what never came', { received: 1, peerReceived: 2 }, 'TUNNEL_LOST'],
])('a carrier whose handshake counts %s ends the link', async (_name, at, code) => {
  const { link, wire, ended } = alone();
  for (const n of [0, 1]) link.send(numbered(n));
  wire.send(encodeFrame({ type: 'ack', messages: 1n }));
  await until(() => link.unackedBytes < 300, 'one is acknowledged');
  const [next] = MemoryTransport.pair();
  assert.throws(() => link.attach(next, at), { code });
  assert.equal(codeOf(await ended), code);
  assert.ok(next.isClosed);
});

test('a peer that reads and never acknowledges holds data back, and a flood of signals ends it', async () => {
  const { link, ended } = alone({ maxUnackedBytes: 100_000, maxUnsentBytes: 300_000 });
  let n = 0;
  while (link.bufferedBytes < TRANSPORT_HIGH_WATER_BYTES) {
    link.send(numbered(n++, 9_000));
    await turns(1);
  }
  assert.ok(link.unackedBytes < 110_000);
  for (; n < 1_000; n += 1) link.send(numbered(n)); // what goes out above it: a few bytes each
  assert.ok(link.unackedBytes < 310_000, String(link.unackedBytes));
  for (; n < 3_000; n += 1) link.send(numbered(n));
  const error = await ended;
  assert.equal(codeOf(error), 'TUNNEL_LOST');
  assert.match(error?.message ?? '', /does not read/);
  assert.equal(link.unackedBytes, 0);
});

test('ten thousand messages are acknowledged a few times, and acknowledgements are not', async () => {
  const { link, wire, heard } = alone({ ackEveryBytes: 100_000, ackDelayMs: 20, pingIntervalMs: 60_000 });
  const got = numbersOf(link);
  for (let n = 0; n < 10_000; n += 1) wire.send(numbered(n, 95));
  await until(() => got.length === 10_000, 'all have come');
  await until(() => heard.some((frame) => frame.type === 'ack' && frame.messages === 10_000n), 'the last too');
  const acks = heard.filter((frame) => frame.type === 'ack');
  assert.ok(acks.length <= 15, `${acks.length} acknowledgements`);
  assert.equal(link.unackedBytes, 0);
  link.terminate();
});
