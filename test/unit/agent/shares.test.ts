import assert from 'node:assert/strict';
import { test } from 'vitest';
import { descriptorsForCallers } from '../../../agent/descriptors.ts';
import { RESERVED_DESCRIPTORS } from '../../../agent/limits.ts';
import { Shares } from '../../../agent/outgoing/shares.ts';

const [ann, bob] = [{}, {}];

test('one who takes all places leaves each other its own few, and no more', () => {
  const shares = new Shares(256);
  const taken = Array.from({ length: 300 }, () => shares.take(ann));
  assert.equal(shares.of(ann), 256);
  assert.equal(taken.filter((giveBack) => giveBack === undefined).length, 44);
  assert.deepEqual(
    [1, 2, 3].map(() => shares.take(bob) !== undefined),
    [true, true, false],
  );
  taken[0]?.();
  assert.equal(shares.take(bob), undefined); // there are 257 still
  for (const giveBack of taken.slice(1, 10)) giveBack?.();
  assert.notEqual(shares.take(bob), undefined);
  assert.equal(shares.total, 249);
});

test('callers leave some of the descriptors that the process may open, whatever it may', () => {
  const limits = (soft: string): string =>
    `Limit    Soft Limit   Hard Limit\nMax open files            ${soft}      1048576     files\n`;
  assert.equal(descriptorsForCallers(limits('1048576')), 1_048_576 - RESERVED_DESCRIPTORS);
  assert.equal(descriptorsForCallers(limits('1024')), 768);
  assert.equal(descriptorsForCallers(limits('unlimited')), Number.POSITIVE_INFINITY);
  assert.equal(descriptorsForCallers(''), Number.POSITIVE_INFINITY);
});
