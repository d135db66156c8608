import assert from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { OLD_NODE_IMAGE } from '../cluster/images.ts';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { type Sample, Sampler } from '../support/sampler.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { POD_GONE_MS } from '../support/test-namespace.ts';
import { filesOn, untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const START_MS = 90_000;
const OBJECTS = ['deployment/web', 'service/web'];
/** What the app may take to answer while the laptop is out of reach (issue 2, section 5). */
const APP_ANSWERS_MS = 5_000;

interface Deployment {
  spec: {
    replicas: number;
    template: {
      metadata: { annotations?: Record<string, string> };
      spec: { containers: { name: string; image: string; env?: { name: string; value?: string }[] }[] };
    };
  };
}

let scene: Scene;
let run: InterceptRun;
let sampler: Sampler;

/** Starts a session for `web`, and asks its Service all the time. */
async function intercept(): Promise<void> {
  if (cluster === undefined) return;
  const env = ['--env', 'WHO=laptop', '--env', 'PORT=3000', '--env', 'DRAIN_MS=0'];
  run = await startIntercept(scene.laptop, ['web', '--port', '3000', ...env, '--', 'node', '-e', APP_CODE], {
    namespace: scene.namespace,
  });
  await run.until('ready', START_MS);
  await untilPods(2); // for a moment the old pods stand beside the new ones, until callers have heard
  sampler = await Sampler.start(cluster, scene.namespace, 'web');
  await sampler.settled('laptop');
}

async function end(): Promise<void> {
  assert.equal(await run.interrupt(), 0, run.transcript);
  await sampler.settled('app');
  assert.equal(await scene.leftovers(), '', run.transcript);
  await untilNoProcess(scene.laptop);
  assert.deepEqual(await filesOn(scene.laptop), []);
}

async function pods(): Promise<string[]> {
  return (await scene.namespace.livePods('web-')).map(({ metadata }) => metadata.name);
}

async function aPod(): Promise<string> {
  const [pod] = await pods();
  if (pod === undefined) throw new Error('web has no pod');
  return pod;
}

async function untilPods(count: number): Promise<void> {
  await scene.namespace.rolledOut('deployment/web');
  await waitFor(async () => ((await pods()).length === count ? true : undefined), {
    timeoutMs: 60_000,
    onTimeout: () => new Error(`web has not come to ${count} pods`),
  });
}

/** Of all requests since then: the app has answered none, and those that failed were sent within `failingMs`. */
function assertOnlyLaptop(sinceMs: number, what: string, failingMs: number): void {
  const samples = sampler.since(sinceMs);
  const failed = samples.filter(({ by }) => by === 'failed');
  const last = failed.at(-1);
  console.log(
    `${what}: ${samples.length} requests, ${failed.length} failed${last === undefined ? '' : `, the last ${last.sentAtMs - sinceMs} ms after it (${last.detail})`}`,
  );
  assert.deepEqual(byApp(samples), [], run.transcript);
  const late = failed.filter(({ sentAtMs }) => sentAtMs > sinceMs + failingMs);
  assert.deepEqual(late, [], `${sampler.text(failed)}\n${run.transcript}`);
}

function byApp(samples: readonly Sample[]): Sample[] {
  return samples.filter(({ by }) => by === 'app');
}

describe.skipIf(cluster === undefined)('traffic follows the pods', () => {
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'follow');
    await scene.deploy({ name: 'web', replicas: 2, env: [{ name: 'DRAIN_MS', value: '2000' }] });
  });
  afterEach(async () => {
    if (run.child.exitCode === null && run.child.signalCode === null) run.child.kill('SIGINT');
    await run.exited;
    await sampler?.[Symbol.asyncDispose]();
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  test('when a pod with the agent is deleted: no request fails or meets the app', async () => {
    await intercept();
    const sinceMs = Date.now();
    await scene.namespace.kubectl(['delete', 'pod', await aPod()], { timeoutMs: POD_GONE_MS });
    await untilPods(2);
    await run.untilMatch((event) => event.event === 'connected' && run.events.indexOf(event) > indexOfReady(), 'pod');
    await sampler.settled('laptop');
    assertOnlyLaptop(sinceMs, 'pod deleted', 0);
    await end();
  });

  test('when an agent’s container ends: its pod is not ready until the new one is connected', async () => {
    await intercept();
    const pod = await aPod();
    const sinceMs = Date.now();
    // SIGINT ends the agent at once, without draining. (Nothing else from inside a container ends its first process.)
    await scene.namespace.kubectl([
      ...['exec', pod, '-c', 'kube-intercept-agent', '--', 'node', '-e', 'process.kill(1, "SIGINT")'],
    ]);
    await run.untilMatch(
      (event) => event.event === 'connected' && event.pod === pod && run.events.indexOf(event) > indexOfReady(),
      'new tunnel to the pod',
    );
    await scene.namespace.kubectl(['wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=60s']);
    await sampler.settled('laptop', { count: 50 });
    assertOnlyLaptop(sinceMs, 'agent ended', 10_000);
    await end();
  });

  test('when the workload is scaled to 1, 3, 0 and 2: every new pod is covered before it is ready', async () => {
    await intercept();
    const sinceMs = Date.now();
    for (const replicas of [1, 3]) {
      await scene.namespace.kubectl(['scale', 'deployment/web', `--replicas=${replicas}`]);
      await untilPods(replicas);
      await sampler.settled('laptop');
    }
    assertOnlyLaptop(sinceMs, 'scaled to 1, then 3', 0);
    await scene.namespace.kubectl(['scale', 'deployment/web', '--replicas=0']);
    await untilPods(0);
    await sampler.settled('failed', { count: 5, timeoutMs: 60_000 });
    const fromZeroMs = Date.now();
    await scene.namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
    await untilPods(2);
    await sampler.settled('laptop');
    assertOnlyLaptop(sinceMs, 'scaled to 1, 3, 0 and 2', fromZeroMs - sinceMs + 30_000);
    assert.equal(run.child.exitCode, null, run.transcript);
    await end();
    assert.equal((await scene.namespace.get<Deployment>('deployment/web')).spec.replicas, 2);
  });

  test('when a colleague rolls it out anew, and the colleague’s changes stay when the session ends', async () => {
    const [before] = await scene.snapshot('deployment/web');
    await intercept();
    const sinceMs = Date.now();
    const { namespace } = scene;
    await namespace.kubectl(['rollout', 'restart', 'deployment/web']);
    await untilPods(2);
    await sampler.settled('laptop');
    await namespace.kubectl(['set', 'env', 'deployment/web', '--containers=app', 'COLLEAGUE=here']);
    await untilPods(2);
    await namespace.kubectl(['set', 'image', 'deployment/web', `app=${OLD_NODE_IMAGE}`]);
    await untilPods(2);
    await sampler.settled('laptop');
    assertOnlyLaptop(sinceMs, 'rolled out three times by a colleague', 0);
    await end();

    const after = await namespace.get<Deployment>('deployment/web');
    const { containers } = after.spec.template.spec;
    assert.deepEqual(
      containers.map(({ name, image, env }) => [name, image, env?.find(({ name }) => name === 'COLLEAGUE')?.value]),
      [['app', OLD_NODE_IMAGE, 'here']],
    );
    const { annotations = {} } = after.spec.template.metadata;
    assert.deepEqual(Object.keys(annotations), ['kubectl.kubernetes.io/restartedAt']);
    const traces = JSON.stringify(await scene.snapshot(...OBJECTS)); // managedFields name our writes for ever
    assert.ok(!traces.includes('kube-intercept'), traces);

    // Taking the colleague's changes back by hand gives what was there before.
    await namespace.kubectl(['set', 'env', 'deployment/web', '--containers=app', 'COLLEAGUE-']);
    await namespace.kubectl(['set', 'image', 'deployment/web', `app=${scene.cluster.nodeImage}`]);
    const patch = [{ op: 'remove', path: '/spec/template/metadata/annotations' }];
    await namespace.kubectl(['patch', 'deployment/web', '--type=json', '-p', JSON.stringify(patch)]);
    assert.deepEqual(await scene.snapshot('deployment/web'), [before]);
    await untilPods(2);
  });
});

function indexOfReady(): number {
  return run.events.findIndex(({ event }) => event === 'ready');
}

describe.skipIf(cluster === undefined)('a session whose network fails', () => {
  let before: unknown[];
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'network');
    await scene.deploy({ name: 'web', replicas: 2, env: [{ name: 'DRAIN_MS', value: '2000' }] });
    before = await scene.snapshot(...OBJECTS);
    await intercept();
  });
  afterAll(async () => {
    try {
      if (cluster === undefined) return;
      await end();
      assert.deepEqual(await scene.snapshot(...OBJECTS), before);
    } finally {
      if (run?.child.exitCode === null && run.child.signalCode === null) run.child.kill('SIGKILL');
      await sampler?.[Symbol.asyncDispose]();
      await scene?.[Symbol.asyncDispose]();
    }
  });

  /** Requests sent after the fault are answered in time, by whomever; traffic comes back to the laptop. */
  async function assertComesBack(sinceMs: number, what: string): Promise<void> {
    const backMs = (await sampler.settled('laptop', { timeoutMs: 60_000 })) - sinceMs;
    const samples = sampler.since(sinceMs);
    const slowestMs = Math.max(...samples.map(({ sentAtMs, endedAtMs }) => endedAtMs - sentAtMs));
    const failed = samples.filter(({ by }) => by === 'failed');
    console.log(
      `${what}: ${byApp(samples).length} requests to the app meanwhile, slowest answer ${slowestMs} ms, ${failed.length} of ${samples.length} failed, only the laptop answers after ${backMs} ms`,
    );
    assert.ok(slowestMs <= APP_ANSWERS_MS, sampler.text(samples.filter((s) => s.endedAtMs - s.sentAtMs > 1000)));
    assert.deepEqual(failed, [], run.transcript);
    assert.equal(run.child.exitCode, null, run.transcript);
    assert.ok(!run.events.some(({ event }) => event === 'error' || event === 'leaving'), run.transcript);
  }

  /** Of both tunnels, after the `from` events that were there before. */
  async function untilBoth(event: 'reconnecting' | 'reconnected', from: number): Promise<void> {
    const seen = (): Set<string> => new Set(run.events.slice(from).flatMap((e) => (e.event === event ? [e.pod] : [])));
    await run.untilMatch(() => seen().size === 2, `${event} for both pods`, 60_000);
  }

  for (const fault of ['cut', 'reset'] as const)
    test(`dials again by itself after a ${fault}, and traffic returns`, async () => {
      const sinceMs = Date.now();
      const from = run.events.length;
      scene.laptop.relay[fault]();
      await untilBoth('reconnecting', from);
      await untilBoth('reconnected', from);
      await assertComesBack(sinceMs, fault);
    });

  test('leaves callers to the app within 5 s while the network is silent, and takes them back when it speaks again', async () => {
    const sinceMs = Date.now();
    const from = run.events.length;
    scene.laptop.relay.stall();
    try {
      await sampler.settled('app', { timeoutMs: 60_000 });
      await untilBoth('reconnecting', from); // the session has noticed, too
      await sampler.settled('app', { timeoutMs: 60_000 });
    } finally {
      scene.laptop.relay.resume();
    }
    await untilBoth('reconnected', from);
    await assertComesBack(sinceMs, 'stall');
  });

  test('leaves callers to the app while the API server cannot be reached, and takes them back when it can', async () => {
    const { relay } = scene.laptop;
    const sinceMs = Date.now();
    await relay.refuse(true);
    relay.reset();
    try {
      await sampler.settled('app', { timeoutMs: 60_000 });
    } finally {
      await relay.refuse(false);
    }
    await assertComesBack(sinceMs, 'no connection');
  });
});
