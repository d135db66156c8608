import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { LengthPrefixReader, MAX_PREFIXED_BYTES, withLength } from '../../../src/net/length-prefix.ts';

const messages = fc.array(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 12 },
);

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.byteLength; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

test('messages come out as they went in, wherever the stream is cut', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(messages, sizes, (sent, pieceSizes) => {
      const reader = new LengthPrefixReader();
      const read = cut(Buffer.concat(sent.map(withLength)), pieceSizes).flatMap((piece) => reader.push(piece));
      assert.deepEqual(read, sent);
      assert.equal(reader.heldBytes, 0);
    }),
    { numRuns: 300 },
  );
});

test('the longest message comes through byte by byte, and one longer is refused', () => {
  const longest = Buffer.alloc(MAX_PREFIXED_BYTES, 7);
  const reader = new LengthPrefixReader();
  assert.deepEqual(
    cut(withLength(longest), [1]).flatMap((piece) => reader.push(piece)),
    [longest],
  );
  assert.throws(() => withLength(Buffer.alloc(MAX_PREFIXED_BYTES + 1)), RangeError);
});

test('no bytes make the reader throw or hold more than one unfinished message', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 2000 })), (chunks) => {
      const reader = new LengthPrefixReader();
      let [pushed, read] = [0, 0];
      for (const chunk of chunks) {
        pushed += chunk.byteLength;
        for (const message of reader.push(Buffer.from(chunk))) read += message.byteLength + 2;
        assert.equal(reader.heldBytes, pushed - read);
        assert.ok(reader.heldBytes < MAX_PREFIXED_BYTES + 2);
      }
    }),
  );
});
