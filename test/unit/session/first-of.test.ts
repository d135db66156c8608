import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { firstOf } from '../../../cli/session/first-of.ts';

/** Attempts in the order they were begun, to be ended by the test. */
interface Attempt {
  readonly signal: AbortSignal;
  resolve(value: string): void;
  reject(error: Error): void;
}
let attempts: Attempt[];
let dropped: string[];
let abort: AbortController;

beforeEach(() => {
  vi.useFakeTimers();
  attempts = [];
  dropped = [];
  abort = new AbortController();
});
afterEach(() => {
  vi.useRealTimers();
});

function start(): Promise<string> {
  const attempt = (signal: AbortSignal): Promise<string> =>
    new Promise((resolve, reject) => attempts.push({ signal, resolve, reject }));
  const { signal } = abort;
  return firstOf(attempt, { everyMs: 1_000, atOnce: 2, drop: (late) => dropped.push(late), signal });
}
const abortedOnes = (): boolean[] => attempts.map(({ signal }) => signal.aborted);

test('an attempt that is answered is the only one', async () => {
  const result = start();
  attempts[0]?.resolve('one');
  assert.equal(await result, 'one');
  await vi.advanceTimersByTimeAsync(5_000);
  assert.equal(attempts.length, 1);
});

test('while one is not answered others begin; the first that is answered counts, what comes later is dropped', async () => {
  const result = start();
  await vi.advanceTimersByTimeAsync(1_000);
  assert.equal(attempts.length, 2);
  attempts[1]?.resolve('two');
  attempts[0]?.resolve('one');
  assert.equal(await result, 'two');
  await vi.advanceTimersByTimeAsync(0);
  assert.deepEqual([dropped, abortedOnes()[0]], [['one'], true]);
});

test('of more than may run at once the oldest is given up, and its failure is nobody’s', async () => {
  const result = start();
  await vi.advanceTimersByTimeAsync(2_000);
  assert.deepEqual(abortedOnes(), [true, false, false]);
  attempts[0]?.reject(new Error('aborted'));
  attempts[2]?.resolve('three');
  assert.equal(await result, 'three');
});

test('a failure ends it: what is refused now is refused to the next as well', async () => {
  const result = start();
  await vi.advanceTimersByTimeAsync(1_000);
  attempts[1]?.reject(new Error('refused'));
  await assert.rejects(result, /refused/);
  assert.deepEqual(abortedOnes(), [true, true]);
});

test('an abort ends all attempts', async () => {
  const result = start();
  abort.abort(new Error('left'));
  await assert.rejects(result, /left/);
  assert.deepEqual(abortedOnes(), [true]);
  await vi.advanceTimersByTimeAsync(5_000);
  assert.equal(attempts.length, 1);
});
