import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { startIntercept } from '../support/intercept-run.ts';
import { Sampler } from '../support/sampler.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();
/** 200 requests a second, each on a connection of its own. */
const INTERVAL_MS = 5;
/** The app ends at once on SIGTERM. */
const env = [{ name: 'DRAIN_MS', value: '0' }];
/** A busy node's kubelet would end the app by it, whoever calls. */
const container = { livenessProbe: undefined };

describe.skipIf(cluster === undefined)('an app that ends at once on SIGTERM', () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'at-once');
    await scene.deploy(
      { name: 'named', ports: 'named', replicas: 3, env, container },
      { name: 'numeric', ports: 'numeric', replicas: 3, env, container },
      { name: 'restarted', ports: 'numeric', replicas: 3, env, container },
    );
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  for (const ports of ['named', 'numeric'] as const)
    test(`loses no request while an intercept with ${ports} ports comes and goes`, async () => {
      const before = await scene.snapshot(`deployment/${ports}`, `service/${ports}`);
      await using sampler = await Sampler.start(scene.cluster, scene.namespace, ports, { intervalMs: INTERVAL_MS });
      const variables = ['WHO=laptop', 'PORT=3000'].flatMap((variable) => ['--env', variable]);
      const args = [ports, '--port', '3000', ...variables, '--', 'node', scene.processFile];
      const run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
      try {
        await run.until('ready', 120_000);
        await sampler.settled('laptop', { count: 200, timeoutMs: 60_000 });
        await scene.namespace.rolledOut(`deployment/${ports}`); // the old pods have been let go
        await sampler.settled('laptop', { count: 400, timeoutMs: 60_000 });
      } finally {
        run.child.kill('SIGTERM');
        await run.exited;
      }
      await sampler.settled('app', { count: 400, timeoutMs: 60_000 });
      const samples = await sampler.stop();
      const failed = samples.filter(({ by }) => by === 'failed');
      console.log(`${ports}: ${samples.length} requests, ${failed.length} failed`);
      assert.deepEqual(failed, [], `${sampler.text(failed)}\n${run.transcript}`);
      assert.deepEqual(await scene.snapshot(`deployment/${ports}`, `service/${ports}`), before);
    });

  test('loses some by kubectl rollout restart, as far as this cluster is like others', async () => {
    await using sampler = await Sampler.start(scene.cluster, scene.namespace, 'restarted', { intervalMs: INTERVAL_MS });
    await scene.namespace.kubectl(['rollout', 'restart', 'deployment/restarted']);
    await scene.namespace.rolledOut('deployment/restarted');
    await sampler.settled('app', { count: 400, timeoutMs: 60_000 });
    const samples = await sampler.stop();
    const failed = samples.filter(({ by }) => by === 'failed');
    console.log(`kubectl rollout restart: ${samples.length} requests, ${failed.length} failed`);
    assert.ok(samples.length > 0); // how many are lost is told beside our own, and not ours to promise
  });
});
