import assert from 'node:assert/strict';
import { test } from 'vitest';
import { AbortGroup } from '../../src/abort-group.ts';

test('each task has a signal of its own, and an abort reaches all that run, with its reason', async () => {
  const group = new AbortGroup();
  const signals: AbortSignal[] = [];
  const waiting = [1, 2].map((result) =>
    group.run(async (signal) => {
      signals.push(signal);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return result;
    }),
  );
  assert.notEqual(signals[0], signals[1]);
  const reason = new Error('enough');
  group.abort(reason);
  group.abort(new Error('again'));
  assert.deepEqual(await Promise.all(waiting), [1, 2]);
  for (const signal of signals) assert.equal(signal.reason, reason);
});

test('a task that is run after the abort starts with an aborted signal', async () => {
  const group = new AbortGroup();
  assert.equal(group.aborted, false);
  group.abort(new Error('enough'));
  group.abort(new Error('again'));
  assert.equal(group.aborted, true);
  await group.run(async (signal) => assert.throws(() => signal.throwIfAborted(), /enough/));
});

test('a task that has ended hears of no abort, and its failure is its caller’s', async () => {
  const group = new AbortGroup();
  let ended: AbortSignal | undefined;
  const failing = group.run(async (signal) => {
    ended = signal;
    throw new Error('failed by itself');
  });
  await assert.rejects(failing, /failed by itself/);
  group.abort(new Error('enough'));
  assert.equal(ended?.aborted, false);
});
