import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { whenIdle } from '../../../agent/idle-exit.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('an agent that nobody has used for long enough is told once, and not before', () => {
  let usedMs = Date.now();
  let told = 0;
  whenIdle(
    () => Date.now() - usedMs,
    80_000,
    () => {
      told += 1;
    },
  );
  vi.advanceTimersByTime(60_000);
  usedMs = Date.now();
  vi.advanceTimersByTime(79_000);
  assert.equal(told, 0);
  vi.advanceTimersByTime(20_000);
  assert.equal(told, 1);
  vi.advanceTimersByTime(500_000);
  assert.equal(told, 1);
});
