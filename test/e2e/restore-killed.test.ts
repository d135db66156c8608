import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { runIntercept } from '../support/intercept-run.ts';
import { isRunning } from '../support/processes.ts';
import { RestoreScene, START_MS } from '../support/restore-scene.ts';
import { Sampler } from '../support/sampler.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { guardianOn, processesOn } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();
/** DESIGN section 1: the app answers "at once"; the figure. */
const APP_BACK_MS = 5_000;

/** Sooner than an agent takes a laptop that is away for gone (30 s). */
const ANSWERED_S = 15;
/** A process that says so, and never answers. */
const HANGING_CODE = APP_CODE.replace(
  "if (request.url === '/env')",
  "if (request.url === '/hang') return console.log('asked');\n    $&",
);

describe.skipIf(cluster === undefined)('a session that is killed', () => {
  let its: RestoreScene;
  beforeAll(async () => {
    if (cluster !== undefined) its = await RestoreScene.open(cluster, 'killed', 2);
  });
  afterEach(async () => its?.endRuns());
  afterAll(async () => its?.[Symbol.asyncDispose]());

  test('with kill -9 leaves its traffic to the app within 5 s, and its guardian restores and ends the command', async () => {
    if (cluster === undefined) return;
    const run = await its.start('web');
    await run.until('ready', START_MS);
    await using sampler = await Sampler.start(cluster, its.scene.namespace, 'web', { intervalMs: 20 });
    await sampler.settled('laptop');
    const guardian = await guardianOn(its.scene.laptop);

    const killedAtMs = Date.now();
    run.child.kill('SIGKILL');
    await run.exited;
    await sampler.settled('app');
    const after = sampler.since(killedAtMs);
    const byApp = after.find(({ by }) => by === 'app');
    const appBackMs = (byApp?.endedAtMs ?? Number.NaN) - killedAtMs;
    const slowestMs = Math.max(...after.map(({ sentAtMs, endedAtMs }) => endedAtMs - sentAtMs));
    const failed = after.filter(({ by }) => by === 'failed');
    console.log(
      `kill -9: the app answers after ${appBackMs} ms; slowest of ${after.length} requests ${slowestMs} ms, ${failed.length} failed`,
    );
    assert.ok(appBackMs <= APP_BACK_MS, sampler.text(after));
    assert.ok(slowestMs <= APP_BACK_MS, sampler.text(after));
    const late = after.filter(({ sentAtMs, by }) => sentAtMs > killedAtMs + APP_BACK_MS && by !== 'app');
    assert.deepEqual(late, []);

    await its.untilRestored(() => run.transcript);
    await its.assertNothingOn(its.scene.laptop);
    assert.ok(!(await processesOn(its.scene.laptop)).some(({ pid }) => pid === guardian));
    const end = await sampler.stop();
    assert.deepEqual(
      end.filter(({ by, sentAtMs }) => by !== 'app' && sentAtMs > killedAtMs + APP_BACK_MS),
      [],
      'the way back failed requests',
    );
  });

  test('with kill -9 while requests wait for their answers: the app answers what may be asked twice, the others are told why', async () => {
    const run = await its.start('web', { command: ['--', 'node', '-e', HANGING_CODE] });
    await run.until('ready', START_MS);
    const ask = (method: string): Promise<{ stdout: string }> =>
      its.scene.caller.exec([
        'curl',
        '-s',
        '-m',
        String(ANSWERED_S),
        '-X',
        method,
        '-w',
        ' %{http_code}',
        'http://web/hang',
      ]);
    const asked = Promise.all(Array.from({ length: 8 }, (_, index) => ask(index % 2 === 0 ? 'GET' : 'POST')));
    await waitFor(async () => (run.stdout.split('asked').length > 8 ? true : undefined), {
      timeoutMs: 30_000,
      onTimeout: () => new Error(`not all requests are with the process: ${run.stdout}`),
    });
    run.child.kill('SIGKILL');
    await run.exited;
    for (const [index, { stdout }] of (await asked).entries())
      assert.match(stdout, index % 2 === 0 ? /^app \S+ GET \/hang 0\n 200$/ : /has vanished[\s\S]* 502$/, stdout);
    await its.untilRestored(() => run.transcript);
    await its.assertNothingOn(its.scene.laptop);
  });

  test('together with its guardian is taken over at once by its user’s next run on the same laptop', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    const command = await run.until('command-started');
    process.kill(await guardianOn(its.scene.laptop), 'SIGKILL');
    const killed = once(run.child, 'exit');
    run.child.kill('SIGKILL');
    await killed;
    assert.notDeepEqual(await its.scene.snapshot('deployment/web', 'service/web'), its.before);
    assert.equal(await isRunning(command.pid), true); // nobody was there to end it
    const status = await runIntercept(its.scene.laptop, ['status'], { namespace: its.scene.namespace });
    assert.match(status.stdout, new RegExp(`^the command \\(pid ${command.pid}\\) .* still runs`, 'm'));

    const next = await its.start('web');
    const ready = await next.until('ready', START_MS);
    assert.equal(await isRunning(command.pid), false, next.transcript);
    await run.exited;
    assert.ok(
      next.events.some(({ event }) => event === 'agent-present'),
      next.transcript,
    );
    console.log(`run after a kill -9 of session and guardian: ready after ${ready.elapsedMs} ms, the agent used again`);
    assert.deepEqual((await its.scene.call('web', 40)).by, { laptop: 40 });
    assert.equal(await next.interrupt(), 0, next.transcript);
    await its.assertRestored(next.transcript);
    await its.assertNothingOn(its.scene.laptop);
  });

  test('together with its guardian is restored by the next intercept of another user on another laptop, of another target', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    const command = await run.until('command-started');
    process.kill(await guardianOn(its.scene.laptop), 'SIGKILL');
    const killedAtMs = Date.now();
    const killed = once(run.child, 'exit');
    run.child.kill('SIGKILL');
    await killed;
    const tally = await its.scene.call('web', 40);
    assert.deepEqual([tally.by, tally.failures], [{ app: 40 }, []]);

    const other = await its.anotherLaptop('games');
    // The session might come back: until its claim has run out, nobody takes it for gone.
    await waitFor(
      async () => {
        const list = await runIntercept(other, ['list', '--json'], { namespace: its.scene.namespace });
        const [row] = JSON.parse(list.stdout) as { state: string; holders: string[] }[];
        return row?.state === 'agent only' ? true : undefined;
      },
      { timeoutMs: 60_000, intervalMs: 500, onTimeout: () => new Error('the dead session is still shown as holder') },
    );
    const next = await its.start('api', { laptop: other });
    const recovered = await next.until('recovered', START_MS);
    assert.equal(recovered.workload, 'deployment/web');
    console.log(`a colleague's run restores ${Math.round((Date.now() - killedAtMs) / 1000)} s after the kill -9`);
    assert.deepEqual(await its.scene.snapshot('deployment/web', 'service/web'), its.before, next.transcript);
    await next.until('ready', START_MS);
    assert.equal(await next.interrupt(), 0, next.transcript);
    await its.assertRestored(next.transcript);
    await its.assertNothingOn(other);

    // What it left on its own laptop only its own user can end.
    assert.equal(await isRunning(command.pid), true);
    const left = await runIntercept(its.scene.laptop, ['leave', '--all'], { namespace: its.scene.namespace });
    assert.equal(left.code, 0, left.stderr);
    assert.match(left.stderr, new RegExp(`the command \\(pid ${command.pid}\\) .* still runs: ending it`));
    assert.equal(await isRunning(command.pid), false);
    await its.assertNothingOn(its.scene.laptop);
    await run.exited;
  });
});
