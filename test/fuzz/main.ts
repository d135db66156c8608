// npm run fuzz -- [--seconds N] [--seed N] [target …]: N seconds for each target, all of them unless some are named.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { fuzz } from './harness.ts';
import { TARGETS } from './targets.ts';

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string' } },
  allowPositionals: true,
});
const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
const targets = TARGETS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
if (targets.length === 0) throw new Error(`no such target; there are ${TARGETS.map(({ name }) => name).join(', ')}`);
for (const target of targets) {
  try {
    const budget = { seconds: Number(values.seconds), runs: Number.POSITIVE_INFINITY };
    const { inputs, kept } = await fuzz(target, budget, seed);
    console.log(`${target.name}: ${inputs} inputs, ${kept} of them kept ones, seed ${seed}`);
  } catch (failure) {
    console.error(failure);
    process.exitCode = 1;
  }
}
process.exit();
