// `npm run fuzz`: what reads strangers' bytes is fed with what nobody would send.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { readCommandLine, readName, readNumber } from '../support/command-line.ts';
import { fuzz } from './harness.ts';
import { TARGETS } from './targets.ts';

const USAGE = `npm run fuzz -- [--seconds <n>] [--seed <n>] [target …]

  --seconds <n>  for each target (default: 10)
  --seed <n>     as an earlier run has printed it (default: another each time)

targets (default: all): ${TARGETS.map(({ name }) => name).join(', ')}
`;

const { seconds, seed, targets } = readCommandLine(USAGE, (args) => {
  const { values, positionals } = parseArgs({
    args,
    options: { seconds: { type: 'string', default: '10' }, seed: { type: 'string' } },
    allowPositionals: true,
  });
  return {
    seconds: readNumber('seconds', values.seconds),
    seed: values.seed === undefined ? randomInt(2 ** 32) : readNumber('seed', values.seed),
    targets:
      positionals.length === 0
        ? TARGETS
        : positionals.map((wanted) => readName('target', wanted, TARGETS, ({ name }) => name)),
  };
});
for (const target of targets) {
  try {
    const budget = { seconds, runs: Number.POSITIVE_INFINITY };
    const { inputs, kept } = await fuzz(target, budget, seed);
    console.log(`${target.name}: ${inputs} inputs, ${kept} of them kept ones, seed ${seed}`);
  } catch (failure) {
    console.error(failure);
    process.exitCode = 1;
  }
}
process.exit();
