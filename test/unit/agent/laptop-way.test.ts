import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { Claim } from '../../../agent/claim.ts';
import { type LaptopCarrier, maxWaitMs, OpenDeadline } from '../../../agent/laptop-way.ts';
import { MAX_HOLD_MS, OPEN_TIMEOUT_MS } from '../../../agent/limits.ts';
import { newSession } from '../../../agent/session.ts';
import { intercept } from '../../integration/agent/support/claims.ts';

const CARRIER: LaptopCarrier = {
  open: () => assert.fail('no stream is opened here'),
  sendControl: () => {},
  close: async () => {},
};

function claimWith(holdMs: number): Claim<LaptopCarrier> {
  const session = newSession({ sessionId: 's', user: 'ann', host: 'desk' }, CARRIER);
  const claim = new Claim(session, intercept(8080), 1, holdMs);
  claim.to = 'laptop';
  return claim;
}

/** A caller that begins to wait now. */
function wait(claim: Claim<LaptopCarrier>): { readonly letGoMs: number | undefined } {
  const begunMs = performance.now();
  const caller: { letGoMs: number | undefined } = { letGoMs: undefined };
  new OpenDeadline(
    (sinceMs) => maxWaitMs(claim, sinceMs),
    () => {
      caller.letGoMs = performance.now() - begunMs;
    },
  );
  return caller;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.advanceTimersByTime(1_000_000);
});
afterEach(() => {
  vi.useRealTimers();
});

test('a caller waits for a laptop that is silent, and no longer', () => {
  const caller = wait(claimWith(10_000));
  vi.advanceTimersByTime(20_000);
  assert.equal(caller.letGoMs, OPEN_TIMEOUT_MS);
});

test('a caller that waits already when the port is held has all of the hold', () => {
  const claim = claimWith(10_000);
  const caller = wait(claim);
  vi.advanceTimersByTime(3_000);
  claim.to = 'held';
  claim.to = 'held'; // said again
  vi.advanceTimersByTime(20_000);
  assert.equal(caller.letGoMs, 13_000);
});

test('a caller of a held port has the hold from when it came', () => {
  const claim = claimWith(10_000);
  claim.to = 'held';
  vi.advanceTimersByTime(60_000);
  const caller = wait(claim);
  vi.advanceTimersByTime(20_000);
  assert.equal(caller.letGoMs, 10_000);
});

test('a process that is back has the usual time to take who has waited', () => {
  const claim = claimWith(10_000);
  claim.to = 'held';
  const caller = wait(claim);
  vi.advanceTimersByTime(6_900);
  claim.to = 'laptop';
  vi.advanceTimersByTime(20_000);
  assert.equal(caller.letGoMs, 6_900 + OPEN_TIMEOUT_MS);
});

test('a caller is let go in the end, however often the process comes and goes', () => {
  const claim = claimWith(MAX_HOLD_MS);
  const caller = wait(claim);
  for (let n = 0; n < 100; n++) {
    claim.to = n % 2 === 0 ? 'held' : 'laptop';
    vi.advanceTimersByTime(3_000);
  }
  assert.equal(caller.letGoMs, MAX_HOLD_MS + OPEN_TIMEOUT_MS);
});
