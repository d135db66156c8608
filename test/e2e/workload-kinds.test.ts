import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { Sampler } from '../support/sampler.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { POD_GONE_MS, TWO_PODS_MS } from '../support/test-namespace.ts';
import type { WorkloadOptions } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

/** Longer than the node needs to tell kube-proxy under load, as in zero-loss.test.ts. */
const env = [{ name: 'DRAIN_MS', value: '3000' }];

interface Pod {
  readonly metadata: { readonly labels?: { readonly app?: string } };
}

type Case = Omit<WorkloadOptions, 'image'> & { readonly target: string; readonly isGapless: boolean };
const cases: readonly Case[] = [
  { target: 'ds/daemon-named', name: 'daemon-named', kind: 'DaemonSet', ports: 'named', isGapless: false },
  { target: 'daemon-numeric', name: 'daemon-numeric', kind: 'DaemonSet', ports: 'numeric', isGapless: false },
  {
    target: 'rs/set',
    name: 'set',
    kind: 'ReplicaSet',
    ports: 'numeric',
    replicas: 2,
    isGapless: true,
    env: [{ name: 'DRAIN_MS', value: '0' }], // taken out before it is told to end
  },
  {
    target: 'sts/by-hand',
    name: 'by-hand',
    kind: 'StatefulSet',
    updateStrategy: 'OnDelete',
    ports: 'named',
    replicas: 2,
    isGapless: true,
  },
];

describe.skipIf(cluster === undefined)('intercepts of every kind of workload', { timeout: TWO_PODS_MS }, () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster !== undefined) scene = await Scene.open(cluster, 'kinds');
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  async function start(target: string): Promise<InterceptRun> {
    const variables = ['WHO=laptop', 'PORT=3000', 'DRAIN_MS=0'].flatMap((variable) => ['--env', variable]);
    const args = [target, '--port', '3000', ...variables, '--', 'node', scene.processFile];
    return await startIntercept(scene.laptop, args, { namespace: scene.namespace });
  }

  for (const { target, isGapless, ...options } of cases)
    test(`${target} (${options.kind}${options.updateStrategy === undefined ? '' : `, ${options.updateStrategy}`}, ${options.ports} ports): ${isGapless ? 'no request is lost from the first to the last' : 'none is lost while it stands'}, and all is as before`, async () => {
      await scene.deploy({ env, ...options });
      const resources = [`${options.kind?.toLowerCase()}/${options.name}`, `service/${options.name}`];
      const before = await scene.snapshot(...resources);
      await using sampler = await Sampler.start(scene.cluster, scene.namespace, options.name, { intervalMs: 100 });
      const run = await start(target);
      let readyAtMs = 0;
      let leftAtMs = 0;
      try {
        await run.until('ready', 2 * POD_GONE_MS);
        readyAtMs = Date.now();
        await sampler.settled('laptop', { timeoutMs: 60_000 });
        leftAtMs = Date.now();
      } finally {
        run.child.kill('SIGTERM');
        await run.exited;
      }
      await sampler.settled('app', { timeoutMs: 60_000 });
      const samples = await sampler.stop();
      const failed = samples.filter(({ by }) => by === 'failed');
      const standing = samples.filter(({ sentAtMs, endedAtMs }) => sentAtMs >= readyAtMs && endedAtMs < leftAtMs);
      assert.ok(standing.length > 0 && standing.every(({ by }) => by === 'laptop'), sampler.text(standing));
      if (isGapless) assert.deepEqual(failed, [], `${sampler.text(failed)}\n${run.transcript}`);
      else assert.match(run.transcript, /is rolled out in place: the Service has no pod for some seconds/);
      console.log(`${target}: ${samples.length} requests, ${failed.length} failed`);
      assert.deepEqual(await scene.snapshot(...resources), before);
      assert.equal(await scene.leftovers(), '');
    });

  test('what a killed session has left half-way of a ReplicaSet, its guardian or the next leave puts back', async () => {
    const name = 'killed';
    await scene.deploy({ name, kind: 'ReplicaSet', replicas: 3, env });
    const before = await scene.snapshot(`replicaset/${name}`, `service/${name}`);
    const run = await start(`rs/${name}`);
    await waitFor(
      async () => (run.events.some((event) => event.event === 'rollout' && event.ready === 1) ? true : undefined),
      { timeoutMs: 90_000, onTimeout: () => new Error(`no pod was replaced:\n${run.transcript}`) },
    );
    run.child.kill('SIGKILL');
    await run.exited;
    const left = await runIntercept(scene.laptop, ['leave', `rs/${name}`], {
      namespace: scene.namespace,
      timeoutMs: 120_000,
    });
    // the guardian may have been first
    assert.ok(left.code === 0 || left.stderr.includes('is not intercepted'), left.stderr);
    await waitFor(async () => ((await scene.leftovers()) === '' ? true : undefined), {
      timeoutMs: 60_000,
      onTimeout: () => new Error('objects are left'),
    });
    assert.deepEqual(await scene.snapshot(`replicaset/${name}`, `service/${name}`), before);
    const live = (await scene.namespace.livePods<Pod>()).filter(({ metadata }) => metadata.labels?.app === name); // none taken out
    assert.equal(live.length, 3);
    assert.ok(!JSON.stringify(live.map((pod) => ({ ...pod, metadata: {} }))).includes('kube-intercept-agent'));
  });

  for (const target of ['job/report', 'cronjob/nightly'])
    test(`${target} is refused with the reason and the way out`, async () => {
      const { code, stderr } = await runIntercept(scene.laptop, [target], { namespace: scene.namespace });
      assert.equal(code, 5);
      assert.match(stderr, /Jobs?.* pods run to their end/);
      assert.match(stderr, /intercept run -- <command>/);
    });
});
