import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'vitest';
import { fuzz } from './harness.ts';
import { TARGETS } from './targets.ts';

/** All targets together: less than a minute. */
const BUDGET = { seconds: 2, runs: 20_000 };
const TIMEOUT_MS = 120_000;

for (const target of TARGETS) {
  test(`no bytes break what reads ${target.name}`, { timeout: TIMEOUT_MS }, async () => {
    const { inputs } = await fuzz(target, BUDGET, randomInt(2 ** 32));
    assert.ok(inputs >= target.seeds.length, `${inputs} inputs`);
  });
}
