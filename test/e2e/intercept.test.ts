import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { POD_GONE_MS, TWO_PODS_MS } from '../support/test-namespace.ts';

const cluster = await clusterOrUndefined();

const REQUESTS = 200;

/** Every way a Service points to an app, and every way to name the target. */
const CASES = [
  { kind: 'Deployment', ports: 'named', target: 'dep-named' },
  { kind: 'Deployment', ports: 'numeric', target: 'svc/dep-numeric' },
  { kind: 'Deployment', ports: 'undeclared', target: 'deploy/dep-undeclared' },
  { kind: 'StatefulSet', ports: 'named', target: 'sts/sts-named' },
  { kind: 'StatefulSet', ports: 'numeric', target: 'sts-numeric' },
] as const;

const nameOf = (target: string): string => target.replace(/^.*\//, '');

describe.skipIf(cluster === undefined)('the Service of two replicas', { timeout: TWO_PODS_MS }, () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'intercept');
    const podSpec = { automountServiceAccountToken: false }; // pods without volumes are deleted sooner by old kubelets
    await scene.deploy(...CASES.map(({ kind, ports, target }) => ({ kind, ports, podSpec, name: nameOf(target) })));
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  // At the same time: most of each is waiting for pods, and the sessions of one laptop must not disturb each other.
  for (const [index, { kind, ports, target }] of CASES.entries())
    test.concurrent(`200 of 200 requests reach the process, then 200 of 200 the app, and nothing is left (${kind}, ${ports} port, ${target})`, async () => {
      const name = nameOf(target);
      const objects = [`${kind.toLowerCase()}/${name}`, `service/${name}`];
      const before = await scene.snapshot(...objects);

      const port = String(3000 + index);
      const run = await startIntercept(
        scene.laptop,
        [target, '--port', port, '--env', 'WHO=laptop', '--env', `PORT=${port}`, '--', 'node', scene.processFile],
        { namespace: scene.namespace },
      );
      try {
        const ready = await run.until('ready', 2 * POD_GONE_MS);
        assert.equal(ready.pods, 2, run.transcript);
        assert.equal(run.events.find((event) => event.event === 'proved')?.from, 2, run.transcript);
        const during = await scene.call(name, REQUESTS);
        assert.deepEqual([during.by, during.failures], [{ laptop: REQUESTS }, []], run.transcript);
      } finally {
        run.child.kill('SIGTERM');
        await run.exited;
      }
      assert.deepEqual(await run.exited, { code: 0, signal: null }, run.transcript); // the process drained and exited with 0
      const after = await scene.call(name, REQUESTS);
      assert.deepEqual([after.by, after.failures], [{ app: REQUESTS }, []], run.transcript);
      assert.equal(after.hosts.length, 2);
      assert.deepEqual(await scene.snapshot(...objects), before, run.transcript);
      assert.doesNotMatch(await scene.leftovers(), new RegExp(`-${name}-`));
    });
});
