// `npm run test:faults`: every fault under every load, on the real cluster; see test/faults/README.md.
import { useCluster } from '../support/cluster.ts';
import { readCommandLine } from '../support/command-line.ts';
import { type CellResult, runCell } from './cell.ts';
import { seededRandom } from './faults.ts';
import { FULL_SIZE, QUICK_SIZE } from './load.ts';
import { type FaultOptions, parseOptions, USAGE } from './options.ts';
import { describeRun, notesOf, tableOf, writeResults } from './report.ts';
import { Setting } from './setting.ts';
import { runSoak } from './soak.ts';

const REPEAT_MS = 20_000;
const QUICK_REPEAT_MS = 8_000;

/** @returns whether every target was met */
async function runMatrix(setting: Setting, options: FaultOptions): Promise<boolean> {
  const { faults, loads, quick, rate, seed } = options;
  const about = describeRun(seed, `${quick ? 'quick' : 'full'}, ${rate} requests/s`);
  const random = seededRandom(seed);
  const results: CellResult[] = [];
  console.log(about);
  for (const fault of faults)
    for (const load of loads) {
      if (fault.ownClusterOnly !== undefined && !setting.cluster.own) {
        console.log(`not run: ${fault.name}: ${fault.ownClusterOnly}`);
        continue;
      }
      const [size, repeatMs] = quick ? [QUICK_SIZE, QUICK_REPEAT_MS] : [FULL_SIZE, REPEAT_MS];
      const plan = { fault, load, size: { ...size, requestsPerSecond: rate }, repeatMs, random };
      const result = await runCell(setting, plan);
      results.push(result);
      console.log(notesOf([result]));
      if (result.missed.length > 0) console.log(result.transcript);
      await writeResults(about, results);
    }
  console.log(`\n${tableOf(results)}\n\nwritten to ${await writeResults(about, results)}`);
  return results.every(({ missed }) => missed.length === 0);
}

const options = readCommandLine(USAGE, parseOptions);
const cluster = await useCluster();
if ('notRun' in cluster) console.log(`not run: ${cluster.notRun}`);
else {
  const setting = await Setting.open(cluster);
  try {
    const isSoak = options.soakMinutes > 0 || options.cycles > 0;
    const isMet = await (isSoak ? runSoak(setting, options) : runMatrix(setting, options));
    process.exitCode = isMet ? 0 : 1;
  } finally {
    await setting[Symbol.asyncDispose]();
  }
}
// Left to end by itself, Node 20.20 has been seen to spin in its own clean-up for 20 minutes (Environment::CleanupHandles).
process.exit();
