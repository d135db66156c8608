import assert from 'node:assert/strict';
import { test } from 'vitest';
import { Leaving } from '../../../cli/session/leaving.ts';

test('one Ctrl-C that a terminal and a wrapper both deliver asks, and does not force', async () => {
  const leaving = new Leaving();
  leaving.takeSignal('SIGINT', 1_000);
  leaving.takeSignal('SIGINT', 1_000);
  leaving.takeSignal('SIGINT', 1_299);
  assert.equal(leaving.forced.aborted, false);
  assert.deepEqual(await leaving.asked, { reason: 'Ctrl-C', exitCode: 130, signal: 'SIGINT' });
});

test('a second Ctrl-C forces, also for somebody who hammers at the key', () => {
  const leaving = new Leaving();
  for (const nowMs of [1_000, 1_150, 1_299]) leaving.takeSignal('SIGINT', nowMs);
  assert.equal(leaving.forced.aborted, false);
  leaving.takeSignal('SIGINT', 1_300);
  assert.equal(leaving.forced.aborted, true);
});

test('another signal than the first forces at once, but a terminal that closes never does', () => {
  const leaving = new Leaving();
  leaving.takeSignal('SIGINT', 1_000);
  leaving.takeSignal('SIGHUP', 1_001);
  leaving.takeSignal('SIGHUP', 5_000);
  assert.equal(leaving.forced.aborted, false);
  leaving.takeSignal('SIGTERM', 5_001);
  assert.equal(leaving.forced.aborted, true);
});
