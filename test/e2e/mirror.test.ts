import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { endRuns, type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, startLaptop } from '../support/laptop.ts';
import { processesWith } from '../support/processes.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';
import { type WrkReport, WrkRun } from '../support/wrk.ts';

const cluster = await clusterOrUndefined();
const canRun = cluster?.toolsImage !== undefined; // wrk is in the tools image

const PHASE_MS = 5_000;
const LOAD = { connections: 16, pauseMs: 10 } as const;
/** The process says so after this many copies; a crashing one ends then. */
const MILESTONE = 100;
/** Tells our processes from all others on this machine. */
const MARK = 'MIRROR_OF';
const PROCESS_CODE = `${APP_CODE}
let seen = 0;
server.on('request', (request, response) => {
  if (request.url !== '/') console.log('copy of ' + request.method + ' ' + request.url);
  if (++seen !== ${MILESTONE}) return;
  console.log('milestone');
  if (process.env.CRASHES) process.exit(1);
});
`;

describe.skipIf(!canRun)('copies for laptops', () => {
  let scene: Scene;
  let colleague: Laptop;
  let before: unknown[];
  const runs: InterceptRun[] = [];
  const transcripts = (): string => runs.map((run) => `${run.transcript}\n${run.stdout.slice(-500)}`).join('\n--\n');

  /** A process that is started again whenever it ends. */
  async function mirror(laptop: Laptop, ...options: string[]): Promise<InterceptRun> {
    const variables = `${MARK}=${scene.namespace.name}-${laptop.user} WHO=laptop PORT=3000 DRAIN_MS=0`;
    const loop = `trap 'kill $child; exit 0' INT TERM
      while :; do ${variables} node process.cjs & child=$!; wait $child; sleep 0.2; done`;
    const args = ['web', '--port', '3000', '--mirror', ...options, '--', 'sh', '-c', loop];
    const run = await startIntercept(laptop, args, { namespace: scene.namespace });
    runs.push(run);
    await run.until('ready', 120_000);
    return run;
  }

  /** Asks for PHASE_MS: the app answers everything. */
  async function assertUntouched(phase: string): Promise<WrkReport> {
    const report = await new WrkRun(scene.caller, 'http://web/', LOAD).stop(PHASE_MS);
    console.log(`${phase}: ${report.requests} requests, the slowest ${(report.maxLatencyUs / 1000).toFixed(0)} ms`);
    const shown = `${phase}: ${JSON.stringify(report)}\n${transcripts()}`;
    assert.deepEqual(report.errors, { connect: 0, read: 0, write: 0, status: 0, timeout: 0 }, shown);
    assert.deepEqual(Object.keys(report.by), ['app'], shown);
    return report;
  }

  beforeAll(async () => {
    if (cluster === undefined) return;
    [scene, colleague] = await Promise.all([
      Scene.open(cluster, 'mirror', PROCESS_CODE),
      startLaptop(cluster, { user: 'games' }),
    ]);
    await scene.copyProcess(colleague);
    await scene.deploy({ name: 'web', replicas: 1 });
    await scene.untilAnswered('web');
    before = await scene.snapshot('deployment/web', 'service/web');
  });
  afterAll(async () => {
    colleague?.relay.resume();
    await endRuns(runs);
    await colleague?.dispose();
    await scene?.[Symbol.asyncDispose]();
  });

  test('are made while the app answers everyone, and cost callers nothing when laptops crash, are slow or gone', async () => {
    await assertUntouched('without mirrors');
    const everything = await mirror(scene.laptop);
    const filtered = await mirror(colleague, '--path', '/', '--env', 'CRASHES=1');
    await scene.get('http://web/only/once');
    for (const run of [everything, filtered]) await run.untilOutput('copy of GET /only/once', 20_000);

    await assertUntouched('one laptop crashes');
    await Promise.all([everything.untilOutput('milestone'), filtered.untilOutput('milestone')]); // one has crashed behind it
    const [line] = await processesWith(`${MARK}=${scene.namespace.name}-${scene.laptop.user}`);
    const slow = Number.parseInt(line ?? '', 10);
    assert.match(line ?? '', /node process\.cjs/, transcripts());
    process.kill(slow, 'SIGSTOP');
    await assertUntouched('one laptop crashes, one does not read');
    process.kill(slow, 'SIGCONT');

    colleague.relay.stall();
    await assertUntouched('one laptop is gone without a word');
    colleague.relay.resume();

    for (const run of runs) assert.equal(await run.interrupt(), 0, transcripts());
    await assertUntouched('without mirrors again');
    assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
    assert.equal(await scene.leftovers(), '');
  });
});
