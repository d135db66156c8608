import assert from 'node:assert/strict';
import { test } from 'vitest';
import { HeldBytes, type Holder } from '../../../agent/held-bytes.ts';
import { until } from '../../support/until.ts';

interface TestHolder extends Holder {
  heldBytes: number;
  readonly name: string;
}

/** Holders that let go of all when they are reset, and who was. */
function holders(held: HeldBytes, ...sizes: readonly (readonly [name: string, bytes: number])[]): string[] {
  const reset: string[] = [];
  for (const [name, bytes] of sizes) {
    const holder: TestHolder = {
      name,
      heldBytes: bytes,
      reset: () => {
        reset.push(name);
        held.delete(holder);
      },
    };
    held.add(holder);
  }
  return reset;
}

test('beyond the limit who holds most is given up, until the others fit', async () => {
  const held = new HeldBytes({ maxBytes: 100, maxStillBytes: 1_000, checkMs: 1 });
  const shed: [number, number][] = [];
  held.onShed = (count, bytes) => shed.push([count, bytes]);
  const reset = holders(held, ['small', 10], ['large', 90], ['middle', 60]);
  await until(() => held.bytes > 0, 'it was looked at');
  assert.deepEqual(reset, ['large']);
  assert.deepEqual(shed, [[1, 90]]);
  assert.equal(held.bytes, 70);
  assert.equal(held.isFull, false);
});

test('beyond the lower limit only who stands still is given up', async () => {
  const held = new HeldBytes({ maxBytes: 1_000, maxStillBytes: 100, stillMs: 5, checkMs: 1 });
  const reset = holders(held, ['still', 60], ['small', 10]);
  let looked = 0;
  const moving: Holder = {
    get heldBytes() {
      looked += 1;
      return 500 + looked;
    },
    reset: () => reset.push('moving'),
  };
  held.add(moving);
  await until(() => reset.length > 0, 'somebody is given up');
  await until(() => looked > 20, 'it was looked at often');
  assert.deepEqual([...reset].sort(), ['small', 'still']);
  held.delete(moving);
});

test('nothing is looked at while nobody holds anything', async () => {
  const held = new HeldBytes({ checkMs: 1 });
  let looked = 0;
  const holder: Holder = {
    get heldBytes() {
      looked += 1;
      return 1;
    },
    reset: () => {},
  };
  held.add(holder);
  await until(() => looked > 0, 'it was looked at');
  held.delete(holder);
  assert.equal(held.bytes, 0);
});
