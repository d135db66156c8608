import assert from 'node:assert/strict';
import { test } from 'vitest';
import { Condition } from '../../../cli/session/condition.ts';

const live = new AbortController().signal;

test('who waits looks again after each change, and goes on when it holds', async () => {
  const condition = new Condition();
  let looks = 0;
  const waiting = condition.until(() => ++looks === 3, live);
  for (let change = 0; change < 2; change += 1) {
    condition.changed();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await waiting;
  assert.equal(looks, 3);
});

test('a failure ends every wait, those that begin later too', async () => {
  const condition = new Condition();
  const waiting = condition.until(() => false, live);
  condition.fail(new Error('over'));
  await assert.rejects(waiting, /over/);
  await assert.rejects(
    condition.until(() => true, live),
    /over/,
  );
});

test('an abort ends one wait with its reason', async () => {
  const condition = new Condition();
  const stop = new AbortController();
  const waiting = condition.until(() => false, stop.signal);
  stop.abort(new Error('no longer wanted'));
  await assert.rejects(waiting, /no longer wanted/);
});
