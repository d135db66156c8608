// `npm run bench [-- --smoke]`: speed as ratios against a baseline of the same run. Never fails by what it measures.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type TestCluster, type TestNamespace, useCluster } from '../support/cluster.ts';
import { readCommandLine } from '../support/command-line.ts';
import { workload } from '../support/workloads.ts';
import { BareSocket } from './bare-socket.ts';
import { FILTERED, measureFilters } from './filters.ts';
import { measureNetwork } from './network.ts';
import { measureStarts } from './starts.ts';
import { formatRows, type Row } from './stats.ts';
import { measureTraffic } from './traffic.ts';

const USAGE = `npm run bench [-- --smoke]

  --smoke  a short run that tells only whether everything can be measured
`;

export interface BenchSize {
  /** Cold intercepts and rollouts. */
  readonly colds: number;
  readonly warms: number;
  readonly roundTrips: number;
  /** Short connections, one after another. */
  readonly connections: number;
  readonly streamBytes: number;
  readonly loadSeconds: number;
  readonly repeats: number;
}

const FULL: BenchSize = {
  colds: 5,
  warms: 9,
  roundTrips: 3000,
  connections: 300,
  streamBytes: 512 * 2 ** 20,
  loadSeconds: 10,
  repeats: 3,
};
const SMOKE: BenchSize = {
  colds: 1,
  warms: 3,
  roundTrips: 500,
  connections: 100,
  streamBytes: 256 * 2 ** 20,
  loadSeconds: 2,
  repeats: 1,
};

function describeMachine(size: BenchSize): string {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  const [cpu] = cpus();
  const kind = size === SMOKE ? 'smoke run: figures are rough' : 'full run';
  return `commit ${commit}, Node ${process.version}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown CPU'}, ${kind}\n`;
}

/** What is under way; undefined when all is done. */
let doing: string | undefined = 'cluster';

async function bench(cluster: TestCluster, namespace: TestNamespace, size: BenchSize): Promise<Row[]> {
  doing = 'workloads';
  await namespace.apply([
    ...workload({ name: 'web', image: cluster.nodeImage }),
    ...workload({ name: 'direct', image: cluster.nodeImage }),
    ...workload({ name: FILTERED, image: cluster.nodeImage, replicas: 1 }),
  ]);
  const [bare] = await Promise.all([
    BareSocket.start(cluster, namespace),
    namespace.rolledOut('deployment/web'),
    namespace.rolledOut('deployment/direct'),
    namespace.rolledOut(`deployment/${FILTERED}`),
    namespace.caller(),
  ]);
  doing = 'starts';
  const starts = await measureStarts(cluster, namespace, size);
  doing = 'traffic';
  const traffic = await measureTraffic(namespace, bare, size);
  doing = 'filters';
  const filters = await measureFilters(namespace, size);
  doing = 'network';
  const network = await measureNetwork(cluster, namespace, bare, size);
  return [...starts, ...traffic, ...filters, ...network];
}

// An await that nothing can end any more makes Node leave with code 13, and a warning that names no more than this file's last line.
process.once('beforeExit', () => {
  if (doing !== undefined) process.stderr.write(`error: a wait in ${doing} that nothing can end any more\n`);
});
const isSmoke = readCommandLine(
  USAGE,
  (args) => parseArgs({ args, options: { smoke: { type: 'boolean' } } }).values.smoke === true,
);
const size = isSmoke ? SMOKE : FULL;
const cluster = await useCluster();
if ('notRun' in cluster) {
  process.stdout.write(`not run: ${cluster.notRun}\n`);
} else {
  const namespace = await cluster.createNamespace('bench', { podSecurity: 'privileged' }); // figures as they were
  try {
    process.stdout.write(describeMachine(size));
    process.stdout.write(formatRows(await bench(cluster, namespace, size)));
  } finally {
    doing = 'clean-up';
    await namespace.dispose();
  }
}
doing = undefined;
