import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { Standstill } from '../../../cli/session/standstill.ts';
import { whyUnknown } from '../../../cli/session/unknown-link.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a tunnel that was away too long is told from an agent that was restarted', () => {
  assert.match(whyUnknown(62_400, 30_000), /^the tunnel was away for 62 s, and the agent waits for 30 s \(--resume\)$/);
  assert.match(whyUnknown(2_000, 30_000), /for the 2 s that it was away: it was restarted/);
  assert.match(whyUnknown(28_000, 30_000), /28 s of the 30 s .* or the agent was restarted$/);
});

test('a standstill is noticed by whoever is asked first, and soon over', () => {
  using standstill = new Standstill();
  vi.advanceTimersByTime(5_000);
  assert.equal(standstill.recentMs, 0);
  vi.setSystemTime(Date.now() + 60_000); // no timer has run meanwhile
  assert.equal(standstill.recentMs, 60_000);
  vi.advanceTimersByTime(9_000);
  assert.equal(standstill.recentMs, 60_000);
  vi.advanceTimersByTime(2_000);
  assert.equal(standstill.recentMs, 0);
});

test('a standstill is noticed by the timer, too, before what it has done is seen', () => {
  using standstill = new Standstill();
  vi.setSystemTime(Date.now() + 60_000);
  vi.advanceTimersByTime(1_500);
  assert.ok(standstill.recentMs >= 60_000);
});
