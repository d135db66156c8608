import assert from 'node:assert/strict';
import { test } from 'vitest';
import { fuzz } from './harness.ts';
import { TARGETS } from './targets.ts';

/** All targets together: less than a minute. */
const BUDGET = { seconds: 2, runs: 20_000 };
/** The same inputs in every run of the tests; `npm run fuzz` looks for new ones. */
const SEED = 20_261_121;
const TIMEOUT_MS = 120_000;

for (const target of TARGETS) {
  test(`no bytes break what reads ${target.name}`, { timeout: TIMEOUT_MS }, async () => {
    const { inputs } = await fuzz(target, BUDGET, SEED);
    assert.ok(inputs >= target.seeds.length, `${inputs} inputs`);
  });
}
