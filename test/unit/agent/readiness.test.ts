import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { READY_WITHOUT_CLAIM_MS } from '../../../agent/limits.ts';
import { Readiness } from '../../../agent/readiness.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function isReady(readiness: Readiness): Promise<boolean> {
  return await Promise.race([readiness.ready.then(() => true), Promise.resolve().then(() => Promise.resolve(false))]);
}

test('the pod is ready with the first claim, once all ports listen', async () => {
  const readiness = new Readiness();
  readiness.claimed();
  assert.equal(await isReady(readiness), false);
  readiness.listening();
  assert.equal(await isReady(readiness), true);
  assert.equal(vi.getTimerCount(), 0);
});

test('without a session the pod is ready after a while', async () => {
  const readiness = new Readiness();
  readiness.listening();
  vi.advanceTimersByTime(READY_WITHOUT_CLAIM_MS - 1);
  assert.equal(await isReady(readiness), false);
  vi.advanceTimersByTime(1);
  assert.equal(await isReady(readiness), true);
});

test('time alone does not make a pod ready whose ports do not listen', async () => {
  const readiness = new Readiness();
  vi.advanceTimersByTime(READY_WITHOUT_CLAIM_MS * 10);
  assert.equal(await isReady(readiness), false);
});
