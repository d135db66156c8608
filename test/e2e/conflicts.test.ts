import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, startLaptop } from '../support/laptop.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const START_MS = 90_000;
const OBJECTS = ['deployment/web', 'service/web', 'deployment/api', 'service/api'];
const IN_USE_EXIT_CODE = 6;

let scene: Scene;
let colleague: Laptop;
let before: unknown[];
const runs: InterceptRun[] = [];

/** Each laptop's process tells by its name whose it is. */
async function start(laptop: Laptop, target: string, ...options: string[]): Promise<InterceptRun> {
  return await startOn(target === 'web' ? '3000' : '3001', laptop, target, ...options);
}

async function startOn(port: string, laptop: Laptop, target: string, ...options: string[]): Promise<InterceptRun> {
  const env = ['--env', `WHO=${laptop.user}-${target}`, '--env', `PORT=${port}`, '--env', 'DRAIN_MS=0'];
  const args = [target, '--port', port, ...env, ...options, '--', 'node', '-e', APP_CODE];
  const run = await startIntercept(laptop, args, { namespace: scene.namespace });
  runs.push(run);
  return run;
}

async function assertAnsweredBy(target: string, who: string): Promise<void> {
  const tally = await scene.call(target, 40);
  assert.deepEqual([tally.by, tally.failures], [{ [who]: 40 }, []]);
}

/** Whatever kubectl prints of it, but what the server counts. */
async function objectsNow(): Promise<string> {
  return JSON.stringify([
    await scene.snapshot(...OBJECTS),
    await scene.leftovers(),
    (await scene.namespace.livePods()).map(({ metadata }) => metadata.name).sort(),
  ]);
}

function assertRefused(run: InterceptRun, end: { code: number | null }, holder: Laptop, own = false): void {
  assert.equal(end.code, IN_USE_EXIT_CODE, run.transcript);
  const error = run.events.find((event) => event.event === 'error');
  assert.ok(error?.event === 'error', run.transcript);
  assert.equal(error.code, 'TARGET_IN_USE');
  const since = /since (\d{4}-\d{2}-\d{2}T[\d:]+Z)/.exec(error.message)?.[1] ?? '';
  const by = own ? `you \\(${holder.user}@\\S+\\)` : `${holder.user}@\\S+`;
  assert.match(error.message, new RegExp(`^deployment/web is intercepted by ${by} since `));
  assert.ok(Math.abs(Date.now() - Date.parse(since)) < 5 * 60_000, error.message);
  assert.match(error.hint ?? '', /intercept leave deployment\/web/);
}

describe.skipIf(cluster === undefined)('two sessions', () => {
  beforeAll(async () => {
    if (cluster === undefined) return;
    [scene, colleague] = await Promise.all([Scene.open(cluster, 'conflicts'), startLaptop(cluster, { user: 'games' })]);
    await scene.deploy({ name: 'web', replicas: 2 }, { name: 'api', replicas: 1, ports: 'numeric' });
    before = await scene.snapshot(...OBJECTS);
  });
  afterEach(async () => {
    for (const run of runs.splice(0)) {
      if (run.child.exitCode === null && run.child.signalCode === null) run.child.kill('SIGINT');
      await run.exited;
    }
  });
  afterAll(async () => {
    await colleague?.dispose();
    await scene?.[Symbol.asyncDispose]();
  });

  test('on one target: the second is refused with user, host and since when; first and cluster stay as they are', async () => {
    const first = await start(scene.laptop, 'web');
    await first.until('ready', START_MS);
    // The last of a start: the old pods are told to end, and the Service, which was led past them, has its own target again.
    const isSettled = async (): Promise<true | undefined> => {
      const [service] = await scene.snapshot('service/web');
      const pods = await scene.namespace.livePods('web-');
      return isDeepStrictEqual(service, before[OBJECTS.indexOf('service/web')]) && pods.length === 2 ? true : undefined;
    };
    await waitFor(isSettled, { timeoutMs: 30_000, onTimeout: () => new Error('the old pods stay') });
    const during = await objectsNow();

    for (const laptop of [colleague, scene.laptop]) {
      const second = await startOn('3009', laptop, 'web', '--keep-agent');
      assertRefused(second, await second.exited, scene.laptop, laptop === scene.laptop);
      assert.ok(!second.events.some(({ event }) => event === 'command-started'), second.transcript);
      assert.equal(await objectsNow(), during);
    }
    await untilNoProcess(colleague);
    await assertAnsweredBy('web', `${scene.laptop.user}-web`);
    assert.ok(!first.events.some(({ event }) => event === 'disconnected'), first.transcript);

    assert.equal(await first.interrupt(), 0, first.transcript);
    assert.deepEqual(await scene.snapshot(...OBJECTS), before);
    assert.equal(await scene.leftovers(), '');
  });

  for (const round of ['with no agent there', 'with the agent kept by an earlier session'])
    test(`started at the same moment on one target: exactly one wins (${round})`, async () => {
      if (round.includes('kept')) {
        const earlier = await start(scene.laptop, 'web', '--keep-agent');
        await earlier.until('ready', START_MS);
        assert.equal(await earlier.interrupt(), 0, earlier.transcript);
      }
      const both = await Promise.all([start(scene.laptop, 'web'), start(colleague, 'web')]);
      const outcomes = await Promise.all(
        both.map((run) =>
          run.until('ready', START_MS).then(
            () => 'ready' as const,
            () => 'refused' as const,
          ),
        ),
      );
      const transcripts = both.map((run) => run.transcript).join('\n--\n');
      assert.deepEqual([...outcomes].sort(), ['ready', 'refused'], transcripts);
      const [winner, loser] = outcomes[0] === 'ready' ? both : [both[1], both[0]];
      const holder = outcomes[0] === 'ready' ? scene.laptop : colleague;
      assertRefused(loser, await loser.exited, holder);
      await assertAnsweredBy('web', `${holder.user}-web`);
      assert.equal(await winner.interrupt(), 0, winner.transcript);
      if (round.includes('kept')) {
        const leave = await runIntercept(colleague, ['leave', 'web'], { namespace: scene.namespace });
        assert.equal(leave.code, 0, leave.stderr);
      }
      assert.deepEqual(await scene.snapshot(...OBJECTS), before, transcripts);
      assert.equal(await scene.leftovers(), '');
    });

  test('on two targets work at once, of one user and of two, and end without touching each other', async () => {
    for (const other of [scene.laptop, colleague]) {
      const [web, api] = await Promise.all([start(scene.laptop, 'web'), start(other, 'api')]);
      await Promise.all([web.until('ready', START_MS), api.until('ready', START_MS)]);
      await Promise.all([
        assertAnsweredBy('web', `${scene.laptop.user}-web`),
        assertAnsweredBy('api', `${other.user}-api`),
      ]);
      assert.equal(await web.interrupt(), 0, web.transcript);
      await assertAnsweredBy('web', 'app');
      await assertAnsweredBy('api', `${other.user}-api`);
      assert.equal(await api.interrupt(), 0, api.transcript);
      assert.deepEqual(await scene.snapshot(...OBJECTS), before);
      assert.equal(await scene.leftovers(), '');
    }
  });
});
