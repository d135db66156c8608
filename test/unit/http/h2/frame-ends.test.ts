import assert from 'node:assert/strict';
import { test } from 'vitest';
import { FrameEnds } from '../../../../src/http/h2/frame-ends.ts';
import { GOAWAY } from '../../../../src/http/h2/frames.ts';

/** Frames of these payload lengths, and where each ends. */
function frames(lengths: readonly number[]): { bytes: Buffer; ends: Set<number> } {
  const ends = new Set<number>();
  const parts: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    const frame = Buffer.alloc(9 + length, 0xff);
    frame.writeUIntBE(length, 0, 3);
    parts.push(frame);
    at += frame.byteLength;
    ends.add(at);
  }
  return { bytes: Buffer.concat(parts), ends };
}

test('frames end where they end, wherever they are cut', () => {
  const { bytes, ends } = frames([0, 5, 0, 300, 1]);
  for (let at = 1; at < bytes.byteLength; at++) {
    const follower = new FrameEnds();
    follower.push(bytes.subarray(0, at));
    assert.equal(follower.isBetweenFrames, ends.has(at), `${at}`);
    const before = [...ends].filter((end) => end <= at).at(-1);
    assert.equal(follower.lastEnd, before);
    follower.push(bytes.subarray(at));
    assert.equal(follower.isBetweenFrames, true);
    assert.equal(follower.lastEnd, bytes.byteLength - at);
  }
});

test('before the first frame nothing may be put in', () => {
  assert.equal(new FrameEnds().isBetweenFrames, false);
});

test('a chunk in which no frame ends has no place', () => {
  const follower = new FrameEnds();
  follower.push(frames([100]).bytes.subarray(0, 50));
  assert.equal(follower.lastEnd, undefined);
});

test('the GOAWAY is one frame', () => {
  const follower = new FrameEnds();
  follower.push(GOAWAY);
  assert.equal(follower.lastEnd, GOAWAY.byteLength);
});
