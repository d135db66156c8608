import assert from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import type { SessionEvent } from '../../cli/ui/events.ts';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, startLaptop } from '../support/laptop.ts';
import { Sampler } from '../support/sampler.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { filesOn, guardianOn, processesOn, untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const OBJECTS = ['deployment/web', 'service/web'];
const START_MS = 90_000;
/** DESIGN section 1: the app answers "at once"; the figure. */
const APP_BACK_MS = 5_000;

/** The process on the laptop: the app's own text, on port 3000. */
const processOn = (port: number) => [
  '--port',
  `${port}`,
  '--env',
  'WHO=laptop',
  '--env',
  `PORT=${port}`,
  '--env',
  'DRAIN_MS=0',
];
const COMMAND = ['--', 'node', '-e', APP_CODE];

let scene: Scene;
let before: unknown[];
const laptops: Laptop[] = [];
const runs: InterceptRun[] = [];

async function start(
  target: string,
  options: { laptop?: Laptop; command?: readonly string[]; tty?: boolean; port?: number } = {},
): Promise<InterceptRun> {
  const { laptop = scene.laptop, command = COMMAND, tty = false, port = 3000 } = options;
  const run = await startIntercept(laptop, [target, ...processOn(port), ...command], {
    namespace: scene.namespace,
    tty,
  });
  runs.push(run);
  return run;
}

async function anotherLaptop(user: 'games' | 'news'): Promise<Laptop> {
  if (cluster === undefined) throw new Error('no cluster');
  const laptop = await startLaptop(cluster, { user });
  laptops.push(laptop);
  return laptop;
}

/** Waits until objects are as before and nothing of ours is left in the namespace. */
async function untilRestored(transcript: () => string, timeoutMs = 60_000): Promise<void> {
  let now: unknown[] = [];
  await waitFor(
    async () => {
      now = await scene.snapshot(...OBJECTS);
      const same = JSON.stringify(now) === JSON.stringify(before);
      return same && (await scene.leftovers()) === '' ? true : undefined;
    },
    { timeoutMs, intervalMs: 200, onTimeout: () => new Error(`not restored in ${timeoutMs} ms; ${transcript()}`) },
  ).catch(async (error: unknown) => {
    assert.deepEqual(now, before, transcript());
    assert.equal(await scene.leftovers(), '', transcript());
    throw error;
  });
}

/** Right now: a session that has ended has restored. */
async function assertRestored(transcript: string): Promise<void> {
  assert.deepEqual(await scene.snapshot(...OBJECTS), before, transcript);
  assert.equal(await scene.leftovers(), '', transcript);
}

async function assertNothingOn(laptop: Laptop): Promise<void> {
  await untilNoProcess(laptop);
  assert.deepEqual(await filesOn(laptop), []);
}

async function open(prefix: string, replicas: number): Promise<void> {
  if (cluster === undefined) return;
  scene = await Scene.open(cluster, prefix);
  await scene.deploy({ name: 'web', replicas }, { name: 'api', replicas: 1, ports: 'numeric' });
  before = await scene.snapshot(...OBJECTS);
}

async function close(): Promise<void> {
  await Promise.all(laptops.splice(0).map((laptop) => laptop.dispose()));
  await scene?.[Symbol.asyncDispose]();
}

/** A failed test must not leave its session to the next. */
async function endRuns(): Promise<void> {
  for (const run of runs.splice(0)) {
    if (run.child.exitCode !== null || run.child.signalCode !== null) continue;
    run.child.kill('SIGINT');
    await run.exited;
  }
}

describe.skipIf(cluster === undefined)('a session that is killed', () => {
  beforeAll(async () => open('killed', 2));
  afterEach(endRuns);
  afterAll(close);

  test('with kill -9 leaves its traffic to the app within 5 s, and its guardian restores and ends the command', async () => {
    if (cluster === undefined) return;
    const run = await start('web');
    await run.until('ready', START_MS);
    await using sampler = await Sampler.start(cluster, scene.namespace, 'web', { intervalMs: 20 });
    await sampler.settled('laptop');
    const guardian = await guardianOn(scene.laptop);

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

    await untilRestored(() => run.transcript);
    await assertNothingOn(scene.laptop);
    assert.ok(!(await processesOn(scene.laptop)).some(({ pid }) => pid === guardian));
    const end = await sampler.stop();
    assert.deepEqual(
      end.filter(({ by, sentAtMs }) => by !== 'app' && sentAtMs > killedAtMs + APP_BACK_MS),
      [],
      'the way back failed requests',
    );
  });

  test('together with its guardian is taken over at once by its user’s next run on the same laptop', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    const command = await run.until('command-started');
    process.kill(await guardianOn(scene.laptop), 'SIGKILL');
    run.child.kill('SIGKILL');
    process.kill(command.pid, 'SIGKILL'); // nobody is left to do it
    await run.exited;
    await untilNoProcess(scene.laptop);
    assert.notDeepEqual(await scene.snapshot(...OBJECTS), before);

    const next = await start('web');
    const ready = await next.until('ready', START_MS);
    assert.ok(
      next.events.some(({ event }) => event === 'agent-present'),
      next.transcript,
    );
    console.log(`run after a kill -9 of session and guardian: ready after ${ready.elapsedMs} ms, the agent used again`);
    assert.deepEqual((await scene.call('web', 40)).by, { laptop: 40 });
    assert.equal(await next.interrupt(), 0, next.transcript);
    await assertRestored(next.transcript);
    await assertNothingOn(scene.laptop);
  });

  test('together with its guardian is restored by the next intercept of another user on another laptop, of another target', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    const command = await run.until('command-started');
    process.kill(await guardianOn(scene.laptop), 'SIGKILL');
    const killedAtMs = Date.now();
    run.child.kill('SIGKILL');
    process.kill(command.pid, 'SIGKILL'); // nobody is left to do it
    await run.exited;
    const tally = await scene.call('web', 40);
    assert.deepEqual([tally.by, tally.failures], [{ app: 40 }, []]);

    const other = await anotherLaptop('games');
    // The session might come back: until its claim has run out, nobody takes it for gone.
    await waitFor(
      async () => {
        const list = await runIntercept(other, ['list', '--json'], { namespace: scene.namespace });
        const [row] = JSON.parse(list.stdout) as { state: string; holders: string[] }[];
        return row?.state === 'agent only' ? true : undefined;
      },
      { timeoutMs: 60_000, intervalMs: 500, onTimeout: () => new Error('the dead session is still shown as holder') },
    );
    const next = await start('api', { laptop: other });
    const recovered = await next.until('recovered', START_MS);
    assert.equal(recovered.workload, 'deployment/web');
    console.log(`a colleague's run restores ${Math.round((Date.now() - killedAtMs) / 1000)} s after the kill -9`);
    assert.deepEqual(await scene.snapshot(...OBJECTS), before, next.transcript);
    await next.until('ready', START_MS);
    assert.equal(await next.interrupt(), 0, next.transcript);
    await assertRestored(next.transcript);
    await assertNothingOn(other);
  });
});

describe.skipIf(cluster === undefined)('a session ends', () => {
  beforeAll(async () => open('ends', 1));
  afterEach(endRuns);
  afterAll(close);

  const SIGNALS = [
    { signal: 'SIGINT', keys: 'Ctrl-C', exitCode: 0 },
    { signal: 'SIGTERM', keys: 'SIGTERM', exitCode: 0 },
    { signal: 'SIGHUP', keys: 'SIGHUP', exitCode: 129 },
  ] as const;
  for (const { signal, keys, exitCode } of SIGNALS)
    test(`with ${signal}, restored, with the exit code of its command`, async () => {
      const run = await start('web');
      await run.until('ready', START_MS);
      run.child.kill(signal);
      assert.deepEqual(await run.exited, { code: exitCode, signal: null }, run.transcript);
      assert.equal(run.events.find(({ event }) => event === 'leaving')?.event, 'leaving');
      assert.ok(
        run.events.some((event) => event.event === 'leaving' && event.reason === keys),
        run.transcript,
      );
      await assertRestored(run.transcript);
      await assertNothingOn(scene.laptop);
    });

  test('with its command, whose exit code is its own', async () => {
    const code = `${APP_CODE}; process.stdin.on('data', () => process.exit(17));`;
    const run = await start('web', { command: ['--', 'node', '-e', code] });
    await run.until('ready', START_MS);
    run.child.stdin?.write('now\n');
    assert.deepEqual(await run.exited, { code: 17, signal: null }, run.transcript);
    await assertRestored(run.transcript);
    await assertNothingOn(scene.laptop);
  });

  test('while the next one of the same workload starts, which waits for the restore and goes on by itself', async () => {
    const first = await start('web');
    await first.until('ready', START_MS);
    first.child.kill('SIGINT');
    await first.until('leaving');
    const next = await start('web', { port: 3001 });
    await next.until('ready', START_MS);
    const waited = next.events.some((event) => event.event === 'waiting' && event.for.includes('the restore of'));
    assert.ok(waited, `${first.transcript}\n${next.transcript}`);
    assert.equal((await first.exited).code, 0, first.transcript);
    assert.equal(await next.interrupt(), 0, next.transcript);
    await assertRestored(next.transcript);
  });

  test('with its terminal, restored all the same', async () => {
    const run = await start('web', { tty: true });
    // On a terminal both of its streams are one: the events come with carriage returns on stdout.
    await waitFor(async () => (run.stdout.includes('"event":"ready"') ? true : undefined), {
      timeoutMs: START_MS,
      onTimeout: () => new Error(`not ready on the terminal:\n${run.stdout}`),
    });
    run.child.kill('SIGKILL');
    await run.exited;
    await untilNoProcess(scene.laptop, 60_000);
    await assertRestored(run.stdout);
    assert.deepEqual(await filesOn(scene.laptop), []);
  });

  test('with leave on the same laptop; a second leave says that nothing is intercepted', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    const { namespace } = scene;
    const leave = await runIntercept(scene.laptop, ['leave', 'web'], { namespace });
    assert.equal(leave.code, 0, leave.stderr);
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
    await assertRestored(run.transcript);
    await assertNothingOn(scene.laptop);

    const again = await runIntercept(scene.laptop, ['leave', 'web', '--json'], { namespace });
    assert.equal(again.code, 9, again.stdout + again.stderr);
    assert.ok(`${again.stdout}${again.stderr}`.includes('"code":"SESSION_NOT_FOUND"'), again.stdout + again.stderr);
    await assertRestored(again.stdout);
  });

  test('when another user ends everyone’s from another laptop with nothing but the kubeconfig, and is told who did', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    const other = await anotherLaptop('games');
    const refused = await runIntercept(other, ['leave', 'web'], { namespace: scene.namespace });
    assert.equal(refused.code, 6, refused.stderr);
    assert.match(refused.stderr, new RegExp(`is intercepted by ${scene.laptop.user}@\\S+, and not by you`));
    assert.match(refused.stderr, /intercept leave deployment\/web -n \S+ --everyone/);
    const leave = await runIntercept(other, ['leave', 'web', '--everyone'], { namespace: scene.namespace });
    assert.equal(leave.code, 0, leave.stderr);
    await assertRestored(leave.stderr);
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
    const leaving = await run.until('leaving');
    assert.match(leaving.reason, /^games@\S+ ran intercept leave$/);
    await assertRestored(run.transcript);
    await assertNothingOn(scene.laptop);
    await assertNothingOn(other);
  });

  test('when two people leave it at the same moment, restored once and without an error for either', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    const [one, two] = await Promise.all([anotherLaptop('games'), anotherLaptop('news')]);
    const leave = (laptop: Laptop) =>
      runIntercept(laptop, ['leave', 'web', '--everyone'], { namespace: scene.namespace });
    const results = await Promise.all([leave(one), leave(two)]);
    assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript);
    for (const { code, stderr } of results) assert.equal(code, 0, stderr);
    await assertRestored(run.transcript);
  });

  test('with leave --all, which ends every session of the laptop and restores what others left behind', async () => {
    const [web, api] = await Promise.all([start('web'), start('api', { port: 3001 })]);
    await web.until('ready', START_MS);
    await api.until('patched', START_MS); // the rollout is under way
    const all = await runIntercept(scene.laptop, ['leave', '--all'], { namespace: scene.namespace });
    assert.equal(all.code, 0, all.stderr);
    await api.exited;
    assert.deepEqual(await web.exited, { code: 0, signal: null }, web.transcript);
    const traces = JSON.stringify(await scene.snapshot('deployment/api', 'service/api'));
    assert.ok(!traces.includes('kube-intercept'), api.transcript);
    await assertRestored(web.transcript);
    await assertNothingOn(scene.laptop);
  });
});

describe.skipIf(cluster === undefined)('Ctrl-C during the start', () => {
  beforeAll(async () => open('starting', 1));
  afterEach(endRuns);
  afterAll(close);

  const STAGES: readonly SessionEvent['event'][] = ['found', 'patched', 'rollout', 'connected', 'command-started'];
  for (const stage of STAGES)
    test(`restores everything (at "${stage}")`, async () => {
      const run = await start('web');
      await run.until(stage, START_MS);
      run.child.kill('SIGINT');
      const { code, signal } = await run.exited;
      // Before anything is asked of the cluster the signal ends it as it does any program; a started command's code is its own.
      const ended = signal ?? code;
      assert.ok(
        ended === 130 || (ended === 'SIGINT' && stage === 'found') || stage === 'command-started',
        run.transcript,
      );
      assert.ok(!run.events.some(({ event }) => event === 'error'), run.transcript);
      await assertRestored(run.transcript);
      await assertNothingOn(scene.laptop);
    });

  test('restores everything (while the command does not listen yet)', async () => {
    const run = await start('web', { command: ['--', 'node', '-e', 'setInterval(() => {}, 1000)'] });
    await run.until('waiting', START_MS);
    await run.untilMatch((event) => event.event === 'rollout' && event.ready === 1, 'rollout', START_MS);
    run.child.kill('SIGINT');
    await run.exited;
    await assertRestored(run.transcript);
    await assertNothingOn(scene.laptop);
  });

  test('restores everything whatever request to the cluster it meets', async () => {
    for (const delayMs of [10, 30, 60, 100, 160]) {
      const run = await start('web');
      await run.until('found', START_MS);
      await new Promise((resolve) => setTimeout(resolve, delayMs)); // which request that meets is up to the machine
      run.child.kill('SIGINT');
      await run.exited;
      await assertRestored(`Ctrl-C ${delayMs} ms after "found"\n${run.transcript}`);
      await assertNothingOn(scene.laptop);
    }
  });
});

describe.skipIf(cluster === undefined)('an end that finds the cluster changed', () => {
  beforeAll(async () => open('changed', 1));
  afterEach(endRuns);
  afterAll(close);

  test('without the right to restore says RESTORE_INCOMPLETE and how to go on, and the guardian restores once it may', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    const binding = JSON.parse(await scene.namespace.kubectl(['get', 'rolebinding', 'developer', '-o', 'json']));
    await scene.namespace.kubectl(['delete', 'rolebinding', 'developer']);
    const user = `system:serviceaccount:${scene.namespace.name}:developer`;
    await waitFor(
      async () => {
        const asked = await scene.namespace
          .kubectl(['auth', 'can-i', 'patch', 'deployments', '--as', user])
          .catch(() => 'no'); // can-i exits with 1
        return asked.trim() === 'yes' ? undefined : true;
      },
      { timeoutMs: 10_000, onTimeout: () => new Error('the role binding is still in force') },
    );
    run.child.kill('SIGINT');
    assert.equal((await run.exited).code, 10, run.transcript);
    const error = await run.until('error');
    assert.equal(error.code, 'RESTORE_INCOMPLETE');
    assert.match(error.message, /deployment\/web/);
    assert.match(error.hint ?? '', /intercept leave deployment\/web/);
    assert.deepEqual((await scene.call('web', 20)).by, { app: 20 });

    const { metadata, ...rest } = binding;
    await scene.namespace.apply({ ...rest, metadata: { name: metadata.name } });
    await untilRestored(() => run.transcript);
    await assertNothingOn(scene.laptop);
  });

  test('with the Service gone restores the workload', async () => {
    const run = await start('api');
    await run.until('ready', START_MS);
    await scene.namespace.kubectl(['delete', 'service', 'api']);
    assert.equal(await run.interrupt(), 0, run.transcript);
    const workload = JSON.stringify(await scene.snapshot('deployment/api'));
    assert.ok(!workload.includes('kube-intercept'), workload);
    assert.equal(await scene.leftovers(), '');
    await assertNothingOn(scene.laptop);
  });

  test('with the workload deleted ends by itself and leaves nothing', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    await scene.namespace.kubectl(['delete', 'deployment', 'web']);
    assert.equal((await run.exited).code, 0, run.transcript);
    assert.match((await run.until('leaving')).reason, /deployment\/web was deleted/);
    await waitFor(async () => ((await scene.leftovers()) === '' ? true : undefined), {
      timeoutMs: 30_000,
      onTimeout: () => new Error('ConfigMap or Secret outlived the workload'),
    });
    await assertNothingOn(scene.laptop);
  });
});
