import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterEach, beforeEach, test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import { toStreamId } from '../../../src/ids.ts';
import type { MuxLimits } from '../../../src/mux/limits.ts';
import { Mux, type MuxStream } from '../../../src/mux/mux.ts';
import { decodeMessage, encodeMessage } from '../../../src/protocol/codec.ts';
import type { Frame } from '../../../src/protocol/frames.ts';
import { INITIAL_WINDOW_BYTES, MAX_PAYLOAD_BYTES } from '../../../src/protocol/limits.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';
import { until } from '../../support/until.ts';

/** PROTOCOL.md "Violations": the mux under test is the agent; the test is the session and speaks frames. */
let wire: MemoryTransport;
let mux: Mux;
let opened: MuxStream[];
let heard: Frame[];
let onOpen: (stream: MuxStream) => void;

const start = (limits: Partial<MuxLimits> = {}): void => {
  const [transport, peer] = MemoryTransport.pair();
  wire = peer;
  opened = [];
  heard = [];
  onOpen = (stream) => stream.accept();
  wire.onMessage = (message) => {
    heard.push(...decodeMessage(message));
  };
  mux = new Mux(transport, {
    side: 'agent',
    onOpen: (stream) => {
      opened.push(stream);
      onOpen(stream);
    },
    onControl: () => {},
    limits,
  });
};

beforeEach(() => start());
afterEach(async () => {
  await mux.close();
  assert.deepEqual(mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
});

const say = (...frames: Frame[]): void => wire.send(encodeMessage(frames));
const id = toStreamId;
const open = (streamId: number, firstBytes = ''): Frame => ({
  type: 'open',
  streamId: id(streamId),
  kind: 'tcp',
  port: 80,
  host: 'db',
  firstBytes: Buffer.from(firstBytes),
});
const data = (streamId: number, bytes = 1): Frame => ({
  type: 'data',
  streamId: id(streamId),
  payload: Buffer.alloc(bytes),
});
const end = (streamId: number): Frame => ({ type: 'end', streamId: id(streamId) });
const window = Array.from({ length: INITIAL_WINDOW_BYTES / MAX_PAYLOAD_BYTES }, () => data(1, MAX_PAYLOAD_BYTES));

test.each<[string, Frame[]]>([
  ['more data than there is credit for', [open(1), ...window, data(1)]],
  ['first bytes that count against the window', [open(1, 'x'), ...window]],
  ['credit beyond 2^31-1', [open(1), { type: 'credit', streamId: id(1), bytes: 2 ** 31 - 1 }]],
  ['data on a stream never opened', [data(3)]],
  ['data on a stream of ours never opened', [data(2)]],
  ['a reset of a stream never opened', [{ type: 'reset', streamId: id(5), reason: 'reset' }]],
  ['an open with an id of ours', [open(2)]],
  ['an id opened twice', [open(1), open(1)]],
  ['an id below the last', [open(5), open(3)]],
  ['data after end', [open(1), end(1), data(1)]],
  ['end after end', [open(1), end(1), end(1)]],
  ['opened by the opener', [open(1), { type: 'opened', streamId: id(1) }]],
  ['a ping among the frames of streams', [open(1), { type: 'ping', token: 1n }]],
  ['an acknowledgement among the frames of streams', [open(1), { type: 'ack', messages: 0n }]],
  ['two frames of the link in one message', [{ type: 'ping', token: 1n }, open(1)]],
  ['the handshake again', [{ type: 'control', text: '{"type":"welcome","received":0,"mac":"x"}' }]],
])('%s ends the tunnel', async (_name, frames) => {
  say(...frames);
  const reason = await mux.closed;
  assert.ok(reason instanceof InterceptorError);
  assert.equal(reason.code, 'PROTOCOL_BAD_FRAME');
  await until(() => opened.every((stream) => stream.destroyed), 'streams reset');
});

test.each<[string, Frame[]]>([
  ['data before opened', [data(2)]],
  ['end before opened', [end(2)]],
  [
    'opened twice',
    [
      { type: 'opened', streamId: id(2) },
      { type: 'opened', streamId: id(2) },
    ],
  ],
])('%s by the acceptor ends the tunnel', async (_name, frames) => {
  mux.open({ kind: 'incoming', port: 1, host: '' });
  await until(() => heard.some((frame) => frame.type === 'open'), 'open is sent');
  say(...frames);
  const reason = await mux.closed;
  assert.ok(reason instanceof InterceptorError && reason.code === 'PROTOCOL_BAD_FRAME');
});

test('frames for a stream that is over are dropped', async () => {
  say(open(1), { type: 'reset', streamId: id(1), reason: 'reset' });
  say(
    data(1),
    end(1),
    { type: 'credit', streamId: id(1), bytes: 5 },
    { type: 'reset', streamId: id(1), reason: 'reset' },
  );
  say({ type: 'ping', token: 77n });
  await until(() => heard.some((frame) => frame.type === 'pong' && frame.token === 77n), 'the tunnel still answers');
});

test('one stream more than the limit is reset, the others stay', async () => {
  start({ maxOpenStreams: 2 });
  say(open(1), open(3), open(5));
  await until(() => heard.some((frame) => frame.type === 'reset'), 'reset');
  assert.deepEqual(
    heard.find((frame) => frame.type === 'reset'),
    { type: 'reset', streamId: 5, reason: 'limit' },
  );
  assert.equal(mux.stats().openStreams, 2);
});

test('what is not understood in a control frame is ignored', async () => {
  say({ type: 'control', text: '{"type":"event","event":"from the future"}' }, { type: 'control', text: 'no JSON' });
  say({ type: 'ping', token: 5n });
  await until(() => heard.some((frame) => frame.type === 'pong'), 'the tunnel still answers');
});

test('a thousand pings at once are answered by one pong', async () => {
  for (let n = 0; n < 1000; n += 1) say({ type: 'ping', token: BigInt(n) });
  await until(() => heard.some((frame) => frame.type === 'pong' && frame.token === 999n), 'the last is answered');
  assert.equal(heard.filter((frame) => frame.type === 'pong').length, 1);
});

test('a silent carrier is found by ping', async () => {
  start({ pingIntervalMs: 20, pingDeadlineMs: 20 });
  say(open(1));
  await until(() => opened.length === 1, 'opened');
  wire.stall();
  const reason = await mux.closed;
  assert.ok(reason instanceof InterceptorError && reason.code === 'TUNNEL_LOST');
  assert.match(reason.message, /silent/);
  assert.equal(opened[0]?.resetReason, 'gone');
});

test('data counts as a sign of life where pings go unanswered', async () => {
  start({ pingIntervalMs: 20, pingDeadlineMs: 1_000 });
  for (let n = 0; n < 100; n += 1) {
    say(open(2 * n + 1));
    await new Promise((resolve) => setTimeout(resolve, 20)); // the traffic itself, two deadlines long
  }
  assert.equal(mux.stats().timers, 1);
});

test('credit comes back when the reader takes bytes, not before', async () => {
  say(open(1), ...window);
  await until(() => mux.stats().queuedBytes === INITIAL_WINDOW_BYTES, 'the window is full');
  assert.ok(!heard.some((frame) => frame.type === 'credit'));
  opened[0]?.resume();
  await until(() => heard.some((frame) => frame.type === 'credit'), 'credit');
});

test('a window that is used up fast grows, to its limit and not beyond', async () => {
  start({ maxWindowBytes: 4 * INITIAL_WINDOW_BYTES });
  onOpen = (stream) => {
    stream.accept();
    stream.resume();
  };
  say(open(1));
  let sent = 0;
  const granted = (): number =>
    heard.reduce((sum, frame) => sum + (frame.type === 'credit' ? frame.bytes : 0), INITIAL_WINDOW_BYTES);
  for (let round = 0; round < 60; round += 1) {
    while (granted() - sent >= MAX_PAYLOAD_BYTES) {
      say(data(1, MAX_PAYLOAD_BYTES));
      sent += MAX_PAYLOAD_BYTES;
    }
    const before = granted();
    await until(() => granted() > before, 'more credit');
  }
  assert.ok(granted() - sent <= 4 * INITIAL_WINDOW_BYTES);
});

test('no order of well-formed frames makes the mux throw, leak, or stay open after a violation', async () => {
  const ids = fc.constantFrom(...[1, 2, 3, 4, 5].map(id));
  const frame: fc.Arbitrary<Frame> = fc.oneof(
    ids.map((streamId) => open(streamId, 'abc')),
    ids.map((streamId): Frame => ({ type: 'opened', streamId })),
    fc.tuple(ids, fc.integer({ min: 1, max: MAX_PAYLOAD_BYTES })).map(([streamId, bytes]) => data(streamId, bytes)),
    fc
      .tuple(ids, fc.integer({ min: 1, max: 2 ** 31 - 1 }))
      .map(([streamId, bytes]): Frame => ({ type: 'credit', streamId, bytes })),
    ids.map(end),
    ids.map((streamId): Frame => ({ type: 'reset', streamId, reason: 'reset' })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(frame, { minLength: 1, maxLength: 4 }), { maxLength: 12 }), async (messages) => {
      start();
      onOpen = (stream) => {
        stream.accept();
        stream.pipe(stream);
      };
      mux.open({ kind: 'incoming', port: 1, host: '' }).end('ours');
      for (const frames of messages) say(...frames);
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      await mux.close();
      await until(() => mux.stats().openStreams === 0, 'streams gone');
      assert.deepEqual(mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
    }),
    { numRuns: 200 },
  );
});
