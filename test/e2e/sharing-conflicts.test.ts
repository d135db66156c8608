import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { endRuns, type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, startLaptop } from '../support/laptop.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const START_MS = 120_000;
const OBJECTS = ['deployment/web', 'service/web', 'deployment/api', 'service/api'];
const IN_USE_EXIT_CODE = 6;
/** An unused session may be taken over after a minute (agent/limits.ts). */
const IDLE_MS = 60_000;
const LATE_MS = 45_000;

type Fields = Readonly<Record<string, string>>;

describe.skipIf(cluster === undefined)('who comes second on a port', () => {
  let scene: Scene;
  let colleague: Laptop;
  let before: unknown[];
  let lastUsedAtMs = 0;
  const runs: InterceptRun[] = [];
  let first: InterceptRun;
  let nextPort = 3000;

  /** The process tells who it is. */
  async function start(laptop: Laptop, who: string, target: string, ...options: string[]): Promise<InterceptRun> {
    const port = String(nextPort++);
    const env = ['--env', `WHO=${who}`, '--env', `PORT=${port}`, '--env', 'DRAIN_MS=0'];
    const args = [target, '--port', port, ...options, ...env, '--', 'node', '-e', APP_CODE];
    const run = await startIntercept(laptop, args, { namespace: scene.namespace });
    runs.push(run);
    return run;
  }

  async function ready(laptop: Laptop, who: string, target: string, ...options: string[]): Promise<InterceptRun> {
    const run = await start(laptop, who, target, ...options);
    await run.until('ready', START_MS);
    return run;
  }

  /** The first word of so many answers. */
  async function answeredBy(url: string, fields: Fields = {}): Promise<string[]> {
    const headers = Object.entries(fields).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
    const urls = Array.from({ length: 12 }, () => url);
    const command = ['curl', '-sS', '-m', '20', '-H', 'Connection: close', ...headers, ...urls]; // both pods get some
    const result = await scene.caller.exec(command);
    assert.equal(result.code, 0, result.stderr);
    return [
      ...new Set(
        result.stdout
          .trim()
          .split('\n')
          .map((line) => line.split(' ')[0] ?? ''),
      ),
    ];
  }

  /** @returns the refusal's message and hint */
  async function refused(run: InterceptRun, holder: Laptop): Promise<{ message: string; hint: string }> {
    const { code } = await run.exited;
    assert.equal(code, IN_USE_EXIT_CODE, run.transcript);
    const error = run.events.find((event) => event.event === 'error');
    assert.ok(error?.event === 'error' && error.code === 'TARGET_IN_USE', run.transcript);
    const since = /is intercepted by (?:you \()?(\w+)@\S+ since (\d{4}-\d{2}-\d{2}T[\d:]+Z)/.exec(error.message);
    assert.equal(since?.[1], holder.user, error.message);
    assert.ok(Math.abs(Date.now() - Date.parse(since?.[2] ?? '')) < 10 * 60_000, error.message);
    assert.ok(!run.events.some(({ event }) => event === 'command-started'), run.transcript);
    return { message: error.message, hint: error.hint ?? '' };
  }

  beforeAll(async () => {
    if (cluster === undefined) return;
    [scene, colleague] = await Promise.all([Scene.open(cluster, 'second'), startLaptop(cluster, { user: 'games' })]);
    await scene.deploy({ name: 'web', replicas: 2 }, { name: 'api', replicas: 1 });
    before = await scene.snapshot(...OBJECTS);
    [first] = await Promise.all([
      ready(scene.laptop, 'first', 'web', '--header', 'x-user: a'),
      ready(scene.laptop, 'whole', 'api'),
    ]);
  });
  afterAll(async () => {
    await endRuns(runs);
    await colleague?.dispose();
    await scene?.[Symbol.asyncDispose]();
  });

  test('is refused with an equal or overlapping filter, and with none; takes a filter that excludes the other or is more specific', async () => {
    assert.deepEqual(await answeredBy('http://web/x', { 'x-user': 'a' }), ['first']);
    lastUsedAtMs = Date.now();
    for (const options of [
      ['--header', 'X-User: a'],
      ['--path', '/api'],
      ['--header', 'x-user: ~^(a|b)$', '--method', 'GET'],
      ['--header', 'x-user: a', '--take-over'], // in use
      [],
    ]) {
      const { message } = await refused(await start(colleague, 'second', 'web', ...options), scene.laptop);
      assert.match(message, /--header 'x-user: a'/, message);
      assert.match(message, /last used \S+ ago|in use now/, message);
    }
    const own = await start(scene.laptop, 'second', 'web', '--header', 'x-user: a');
    await refused(own, scene.laptop);
    const { hint } = await refused(await start(colleague, 'second', 'api', '--personal', 'b'), scene.laptop);
    assert.match(hint, /intercept leave deployment\/api/);

    const special = await ready(colleague, 'special', 'web', '--path', '/api', '--header', 'x-user: a');
    const other = await ready(colleague, 'other', 'web', '--header', 'x-user: b');
    const answers = [
      await answeredBy('http://web/api/x', { 'x-user': 'a' }),
      await answeredBy('http://web/apis', { 'x-user': 'a' }),
      await answeredBy('http://web/api', { 'x-user': 'b' }),
      await answeredBy('http://web/api'),
      await answeredBy('http://api/'),
    ];
    lastUsedAtMs = Date.now();
    assert.deepEqual(answers.flat(), ['special', 'first', 'other', 'app', 'whole']);
    assert.equal(await special.interrupt(), 0, special.transcript);
    assert.equal(await other.interrupt(), 0, other.transcript);
  });

  test('takes over from who has not been used for a minute, who is told; and not before', async () => {
    const early = await start(colleague, 'second', 'web', '--header', 'x-user: a', '--take-over');
    await refused(early, scene.laptop);
    const left = lastUsedAtMs + IDLE_MS + 1_000 - Date.now(); // the minute that it is about
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, left)));
    const late = await start(colleague, 'second', 'web', '--header', 'x-user: a');
    assert.match((await refused(late, scene.laptop)).hint, /--take-over/);

    await ready(colleague, 'second', 'web', '--header', 'x-user: a', '--take-over');
    const leaving = await first.until('leaving', LATE_MS);
    assert.match(leaving.reason, /^games@\S+ took over/);
    assert.equal((await first.exited).code, 0, first.transcript);
    assert.deepEqual(await answeredBy('http://web/', { 'x-user': 'a' }), ['second']);
  });

  test('takes over from whose laptop is gone, who is told when it is back; at the end everything is as before', async () => {
    const gone = runs.at(-1);
    assert.ok(gone !== undefined);
    colleague.relay.stall();
    let heir: InterceptRun | undefined;
    const takeOver = async (): Promise<true | undefined> => {
      heir = await start(scene.laptop, 'heir', 'web', '--header', 'x-user: a', '--take-over');
      return await heir.until('ready', START_MS).then(
        () => true as const,
        () => undefined, // the agents have not found out yet
      );
    };
    await waitFor(takeOver, {
      timeoutMs: LATE_MS,
      onTimeout: () => new Error(`never taken over:\n${heir?.transcript}`),
    });
    assert.deepEqual(await answeredBy('http://web/', { 'x-user': 'a' }), ['heir']);
    colleague.relay.resume();
    colleague.relay.reset();
    await Promise.race([gone.until('leaving', LATE_MS), gone.until('error', LATE_MS)]);
    await gone.exited;
    assert.match(gone.transcript, new RegExp(`took over|intercepted by ${scene.laptop.user}@`));
    assert.deepEqual(await answeredBy('http://web/', { 'x-user': 'a' }), ['heir']);

    for (const run of runs) {
      if (run.child.exitCode === null) run.child.kill('SIGINT');
      await run.exited;
    }
    assert.deepEqual(await answeredBy('http://web/', { 'x-user': 'a' }), ['app']);
    assert.deepEqual(await scene.snapshot(...OBJECTS), before);
    assert.equal(await scene.leftovers(), '');
  });
});
