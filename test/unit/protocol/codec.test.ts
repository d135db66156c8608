import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import { MAX_STREAM_ID, toStreamId } from '../../../src/ids.ts';
import { decodeMessage, encodeFrame, encodeMessage, MessageWriter } from '../../../src/protocol/codec.ts';
import { FRAME_NUMBERS, FRAME_SINCE, type Frame, OPEN_KINDS, RESET_REASONS } from '../../../src/protocol/frames.ts';
import { MAX_FIRST_BYTES, MAX_PAYLOAD_BYTES } from '../../../src/protocol/limits.ts';
import { PROTOCOL_VERSIONS } from '../../../src/protocol/versions.ts';

const streamId = fc.integer({ min: 1, max: MAX_STREAM_ID }).map(toStreamId);
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const host = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= 255);
const bytes = (min: number, max: number) =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((b) => Buffer.from(b));

const anyFrame: fc.Arbitrary<Frame> = fc
  .oneof(
    fc.record({
      type: fc.constant('open' as const),
      streamId,
      kind: fc.constantFrom(...OPEN_KINDS),
      port: fc.integer({ min: 0, max: 65535 }),
      host,
      firstBytes: bytes(0, 300),
    }),
    fc.record({ type: fc.constantFrom('opened' as const, 'end' as const), streamId }),
    fc.record({ type: fc.constant('data' as const), streamId, payload: bytes(1, 300) }),
    fc.record({ type: fc.constant('credit' as const), streamId, bytes: fc.integer({ min: 1, max: 2 ** 31 - 1 }) }),
    fc.record({ type: fc.constant('reset' as const), streamId, reason: fc.constantFrom(...RESET_REASONS) }),
    fc.record({ type: fc.constantFrom('ping' as const, 'pong' as const), token: u64 }),
    fc.record({ type: fc.constant('control' as const), text: fc.string({ unit: 'grapheme', minLength: 1 }) }),
    fc.record({ type: fc.constant('ack' as const), messages: u64 }),
  )
  .map((frame) => ({ ...frame })); // fast-check makes some without a prototype

const isBadFrame = (error: unknown): boolean =>
  error instanceof InterceptorError && error.code === 'PROTOCOL_BAD_FRAME';

test('every message comes back unchanged after encode and decode', () => {
  fc.assert(
    fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 12 }), (frames) => {
      assert.deepEqual(decodeMessage(encodeMessage(frames)), frames);
    }),
    { numRuns: 300 },
  );
});

test('no bytes make decodeMessage throw anything but PROTOCOL_BAD_FRAME', () => {
  const throwsProperly = (message: Uint8Array): void => {
    try {
      decodeMessage(message);
    } catch (error) {
      assert.ok(isBadFrame(error), String(error));
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), throwsProperly), { numRuns: 1000 });
  // Nearly right messages get further than noise does.
  fc.assert(
    fc.property(
      fc.array(anyFrame, { minLength: 1, maxLength: 4 }),
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
      (f, at, b) => {
        const message = encodeMessage(f);
        message[at % message.byteLength] = b;
        throwsProperly(message);
      },
    ),
    { numRuns: 1000 },
  );
});

test('a message cut anywhere inside a frame is a bad frame', () => {
  fc.assert(
    fc.property(anyFrame, (frame) => {
      const message = encodeFrame(frame);
      for (let end = 0; end < message.byteLength; end += 1) {
        assert.throws(() => decodeMessage(message.subarray(0, end)), isBadFrame);
      }
    }),
    { numRuns: 60 },
  );
});

test('messages taken one after another from one writer do not touch each other', () => {
  fc.assert(
    fc.property(fc.array(fc.array(anyFrame, { minLength: 1, maxLength: 5 }), { maxLength: 30 }), (messages) => {
      const writer = new MessageWriter();
      const taken = messages.map((frames) => {
        for (const frame of frames) writer.frame(frame);
        return writer.take();
      });
      assert.deepEqual(taken.map(decodeMessage), messages);
    }),
  );
});

test('a decoded payload is a view into its message', () => {
  const message = encodeFrame({ type: 'data', streamId: toStreamId(1), payload: Buffer.from('abc') });
  const [frame] = decodeMessage(message);
  assert.ok(frame?.type === 'data');
  assert.equal(frame.payload.buffer, message.buffer);
});

const header = (type: number, id: number, length: number, body: readonly number[] = []): Buffer => {
  const message = Buffer.alloc(9 + body.length);
  message[0] = type;
  message.writeUInt32BE(id, 1);
  message.writeUInt32BE(length, 5);
  message.set(body, 9);
  return message;
};

test.each([
  ['an empty message', Buffer.alloc(0)],
  ['type 0', header(0, 1, 0)],
  ['an unknown type', header(200, 1, 0)],
  ['data on stream 0', header(FRAME_NUMBERS.data, 0, 1, [1])],
  ['empty data', header(FRAME_NUMBERS.data, 1, 0)],
  [
    'data above the limit',
    Buffer.concat([header(FRAME_NUMBERS.data, 1, MAX_PAYLOAD_BYTES + 1), Buffer.alloc(MAX_PAYLOAD_BYTES + 1)]),
  ],
  ['a stream id above 2^31-1', header(FRAME_NUMBERS.end, 2 ** 31, 0)],
  ['a body on end', header(FRAME_NUMBERS.end, 1, 1, [0])],
  ['no credit', header(FRAME_NUMBERS.credit, 1, 4, [0, 0, 0, 0])],
  ['credit above 2^31-1', header(FRAME_NUMBERS.credit, 1, 4, [255, 255, 255, 255])],
  ['a ping on a stream', header(FRAME_NUMBERS.ping, 1, 8, [0, 0, 0, 0, 0, 0, 0, 0])],
  ['a short ping', header(FRAME_NUMBERS.ping, 0, 7, [0, 0, 0, 0, 0, 0, 0])],
  ['an unknown open kind', header(FRAME_NUMBERS.open, 1, 4, [9, 0, 80, 0])],
  ['a host beyond the body', header(FRAME_NUMBERS.open, 1, 5, [0, 0, 80, 2, 97])],
  [
    'first bytes above the limit',
    Buffer.concat([
      header(FRAME_NUMBERS.open, 1, 5 + MAX_FIRST_BYTES, [0, 0, 80, 0]),
      Buffer.alloc(MAX_FIRST_BYTES + 1),
    ]),
  ],
  ['control text that is not UTF-8', header(FRAME_NUMBERS.control, 0, 1, [0xff])],
])('%s is a bad frame', (_name, message) => {
  assert.throws(() => decodeMessage(message), isBadFrame);
});

test('a reset with a reason of a later version is still a reset', () => {
  assert.deepEqual(decodeMessage(header(FRAME_NUMBERS.reset, 1, 1, [99])), [
    { type: 'reset', streamId: 1, reason: 'reset' },
  ]);
});

test('the writer refuses fields out of their range', () => {
  const id = toStreamId(1);
  assert.throws(() => encodeFrame({ type: 'data', streamId: id, payload: Buffer.alloc(0) }), isBadFrame);
  assert.throws(() => encodeFrame({ type: 'credit', streamId: id, bytes: 0 }), isBadFrame);
  const open = {
    type: 'open',
    streamId: id,
    kind: 'tcp',
    port: 1,
    host: 'x'.repeat(256),
    firstBytes: Buffer.alloc(0),
  } as const;
  assert.throws(() => encodeFrame(open), isBadFrame);
  assert.throws(() => toStreamId(0), isBadFrame);
});

test('every frame type has a number of its own and is known to a version this build speaks', () => {
  const numbers = Object.values(FRAME_NUMBERS);
  assert.equal(new Set(numbers).size, numbers.length);
  for (const since of Object.values(FRAME_SINCE)) assert.ok(since <= Math.max(...PROTOCOL_VERSIONS));
});
