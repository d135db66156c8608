import assert from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { runIntercept } from '../support/intercept-run.ts';
import type { Laptop } from '../support/laptop.ts';
import { RestoreScene, START_MS } from '../support/restore-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { filesOn, untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();
/** 5 s without an answer, and a rollout; with a session that was waited for it would be a minute more. */
const WITHOUT_IT_MS = 50_000;

describe.skipIf(cluster === undefined)('a session ends', () => {
  let its: RestoreScene;
  beforeAll(async () => {
    if (cluster !== undefined) its = await RestoreScene.open(cluster, 'ends', 1);
  });
  afterEach(async () => its?.endRuns());
  afterAll(async () => its?.[Symbol.asyncDispose]());

  const SIGNALS = [
    { signal: 'SIGINT', keys: 'Ctrl-C', exitCode: 0 },
    { signal: 'SIGTERM', keys: 'SIGTERM', exitCode: 0 },
    { signal: 'SIGHUP', keys: 'SIGHUP', exitCode: 129 },
  ] as const;
  for (const { signal, keys, exitCode } of SIGNALS)
    test(`with ${signal}, restored, with the exit code of its command`, async () => {
      const run = await its.start('web');
      await run.until('ready', START_MS);
      run.child.kill(signal);
      assert.deepEqual(await run.exited, { code: exitCode, signal: null }, run.transcript);
      assert.equal(run.events.find(({ event }) => event === 'leaving')?.event, 'leaving');
      assert.ok(
        run.events.some((event) => event.event === 'leaving' && event.reason === keys),
        run.transcript,
      );
      await its.assertRestored(run.transcript);
      await its.assertNothingOn(its.scene.laptop);
    });

  test('with its command, whose exit code is its own', async () => {
    const code = `${APP_CODE}; process.stdin.on('data', () => process.exit(17));`;
    const run = await its.start('web', { command: ['--', 'node', '-e', code] });
    await run.until('ready', START_MS);
    run.child.stdin?.write('now\n');
    assert.deepEqual(await run.exited, { code: 17, signal: null }, run.transcript);
    await its.assertRestored(run.transcript);
    await its.assertNothingOn(its.scene.laptop);
  });

  test('while the next one of the same workload starts, which waits for the restore and goes on by itself', async () => {
    const first = await its.start('web');
    await first.until('ready', START_MS);
    first.child.kill('SIGINT');
    await first.until('leaving');
    const next = await its.start('web', { port: 3001 });
    await next.until('ready', START_MS);
    const waited = next.events.some((event) => event.event === 'waiting' && event.for.includes('the restore of'));
    assert.ok(waited, `${first.transcript}\n${next.transcript}`);
    assert.equal((await first.exited).code, 0, first.transcript);
    assert.equal(await next.interrupt(), 0, next.transcript);
    await its.assertRestored(next.transcript);
  });

  test('with its terminal, restored all the same', async () => {
    const run = await its.start('web', { tty: true });
    // On a terminal both of its streams are one: the events come with carriage returns on stdout.
    await waitFor(async () => (run.stdout.includes('"event":"ready"') ? true : undefined), {
      timeoutMs: START_MS,
      onTimeout: () => new Error(`not ready on the terminal:\n${run.stdout}`),
    });
    run.child.kill('SIGKILL');
    await run.exited;
    await untilNoProcess(its.scene.laptop, 60_000);
    await its.assertRestored(run.stdout);
    assert.deepEqual(await filesOn(its.scene.laptop), []);
  });

  test('with leave on the same laptop; a second leave says that nothing is intercepted', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    const { namespace } = its.scene;
    const leave = await runIntercept(its.scene.laptop, ['leave', 'web'], { namespace });
    assert.equal(leave.code, 0, leave.stderr);
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
    await its.assertRestored(run.transcript);
    await its.assertNothingOn(its.scene.laptop);

    const again = await runIntercept(its.scene.laptop, ['leave', 'web', '--json'], { namespace });
    assert.equal(again.code, 9, again.stdout + again.stderr);
    assert.ok(`${again.stdout}${again.stderr}`.includes('"code":"SESSION_NOT_FOUND"'), again.stdout + again.stderr);
    await its.assertRestored(again.stdout);
  });

  for (const words of [['web'], ['--all']])
    test(`while it stands still, with leave ${words.join(' ')}, which goes on without it; it ends when it goes on`, async () => {
      const run = await its.start('web');
      await run.until('ready', START_MS);
      run.child.kill('SIGSTOP');
      try {
        const fromMs = performance.now();
        const leave = await runIntercept(its.scene.laptop, ['leave', ...words], { namespace: its.scene.namespace });
        assert.equal(leave.code, 0, leave.stderr);
        assert.match(leave.stderr, /has not answered for 5 s/);
        assert.ok(performance.now() - fromMs < WITHOUT_IT_MS, leave.stderr);
        await its.assertRestored(leave.stderr);
      } finally {
        run.child.kill('SIGCONT');
      }
      assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
      await its.assertRestored(run.transcript);
      await its.assertNothingOn(its.scene.laptop);
    });

  test('when another user ends everyone’s from another laptop with nothing but the kubeconfig, and is told who did', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    const other = await its.anotherLaptop('games');
    const refused = await runIntercept(other, ['leave', 'web'], { namespace: its.scene.namespace });
    assert.equal(refused.code, 6, refused.stderr);
    assert.match(refused.stderr, new RegExp(`is intercepted by ${its.scene.laptop.user}@\\S+, and not by you`));
    assert.match(refused.stderr, /intercept leave deployment\/web -n \S+ --everyone/);
    const leave = await runIntercept(other, ['leave', 'web', '--everyone'], { namespace: its.scene.namespace });
    assert.equal(leave.code, 0, leave.stderr);
    await its.assertRestored(leave.stderr);
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
    const leaving = await run.until('leaving');
    assert.match(leaving.reason, /^games@\S+ ran intercept leave$/);
    await its.assertRestored(run.transcript);
    await its.assertNothingOn(its.scene.laptop);
    await its.assertNothingOn(other);
  });

  test('when two people leave it at the same moment, restored once and without an error for either', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    const [one, two] = await Promise.all([its.anotherLaptop('games'), its.anotherLaptop('news')]);
    const leave = (laptop: Laptop) =>
      runIntercept(laptop, ['leave', 'web', '--everyone'], { namespace: its.scene.namespace });
    const results = await Promise.all([leave(one), leave(two)]);
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
    for (const { code, stderr } of results) assert.equal(code, 0, stderr);
    await its.assertRestored(run.transcript);
  });

  test('with leave --all, which ends every session of the laptop and restores what others left behind', async () => {
    const [web, api] = await Promise.all([its.start('web'), its.start('api', { port: 3001 })]);
    await web.until('ready', START_MS);
    await api.until('patched', START_MS); // the rollout is under way
    const { laptop, namespace } = its.scene;
    const elsewhere = await runIntercept(laptop, ['leave', '--all', '-n', 'default'], { namespace });
    assert.doesNotMatch(elsewhere.stderr, /leaving|restor/);
    const all = await runIntercept(laptop, ['leave', '--all'], { namespace });
    assert.equal(all.code, 0, all.stderr);
    await api.exited;
    assert.deepEqual(await web.exited, { code: 0, signal: null }, web.transcript);
    const traces = JSON.stringify(await its.scene.snapshot('deployment/api', 'service/api'));
    assert.ok(!traces.includes('kube-intercept'), api.transcript);
    await its.assertRestored(web.transcript);
    await its.assertNothingOn(its.scene.laptop);
  });
});
