import { execFileSync } from 'node:child_process';
import { startClosingServer } from '../support/closing-server.ts';
import type { TestCluster, TestNamespace } from '../support/cluster.ts';
import type { BenchSize } from './main.ts';
import { INTERCEPT, startSession } from './session.ts';
import { compare, median, type Row } from './stats.ts';

/** How long it takes until traffic has moved: without the agent, beside a plain rollout of the same workload, and with it. */
export async function measureStarts(_cluster: TestCluster, namespace: TestNamespace, size: BenchSize): Promise<Row[]> {
  const process_ = await startClosingServer();
  const args = ['web', '--port', String(process_.port)];
  const rollouts: number[] = [];
  const colds: number[] = [];
  const warms: number[] = [];
  for (let i = 0; i < size.colds; i++) {
    rollouts.push(
      await timed(async () => {
        await namespace.kubectl(['rollout', 'restart', 'deployment/web']);
        await namespace.rolledOut('deployment/web');
      }),
    );
    colds.push(await timedSession(namespace, args));
  }
  await timedSession(namespace, [...args, '--keep-agent']);
  for (let i = 0; i < size.warms; i++) warms.push(await timedSession(namespace, args));
  const leave = startSession(namespace, ['leave', 'web']);
  await leave.exited;
  await process_.close();
  const more = median(colds) - median(rollouts);
  const bare = startTimes(size.warms, ['-e', '0']);
  const help = startTimes(size.warms, ['--', INTERCEPT, '--help']);
  const version = startTimes(size.warms, ['--', INTERCEPT, '--version']);
  return [
    compare('intercept --version beside node -e 0', median(version), median(bare), 'ms', { atMost: 2 }),
    compare('intercept --help beside node -e 0', median(help), median(bare), 'ms', { atMost: 2 }),
    {
      ...compare('cold intercept beside kubectl rollout restart', median(colds), median(rollouts), 's', undefined),
      target: '≤ 1 s more',
      met: more <= 1,
    },
    compare('warm intercept from process start (beside 0.7 s)', median(warms), 0.7, 's', { atMost: 1 }),
  ];
}

/** Seconds from the start of the process to `ready`. */
async function timedSession(namespace: TestNamespace, args: readonly string[]): Promise<number> {
  const started = performance.now();
  const run = startSession(namespace, args);
  await run.until('ready', 120_000);
  const seconds = (performance.now() - started) / 1000;
  await run.interrupt();
  return seconds;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** Milliseconds of `node …` from start to exit. */
function startTimes(count: number, args: readonly string[]): number[] {
  return Array.from({ length: count }, () => {
    const started = performance.now();
    execFileSync(process.execPath, args, { stdio: 'ignore' });
    return performance.now() - started;
  });
}
