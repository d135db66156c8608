import assert from 'node:assert/strict';
import { test } from 'vitest';
import { Gate } from '../../../cli/network/dns/gate.ts';
import { until } from '../../support/until.ts';

const live = new AbortController().signal;

test('a gate lets so many in, the others in their order, and those that leave the line are gone', async () => {
  const gate = new Gate(2);
  const [order, releases] = [[] as number[], [] as (() => void)[]];
  const leave = new AbortController();
  const enter = (number: number, signal = live): Promise<void> =>
    gate.run(signal, async () => {
      order.push(number);
      await new Promise<void>((resolve) => releases.push(resolve));
    });
  const all = [enter(1), enter(2), enter(3, leave.signal), enter(4)];
  await until(() => releases.length === 2, 'two inside');
  leave.abort(new Error('left'));
  await assert.rejects(all[2] ?? Promise.resolve(), /left/);
  releases[0]?.();
  await until(() => order.length === 3, 'the next');
  const late = enter(5);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(order, [1, 2, 4]); // the place of the first one went to the fourth: there is none for the fifth
  for (const release of releases.splice(0)) release();
  await until(() => releases.length === 1, 'the last');
  releases[0]?.();
  await Promise.all([all[0], all[1], all[3], late]);
});
