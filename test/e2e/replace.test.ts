import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { startIntercept } from '../support/intercept-run.ts';
import { type Queue, startQueue, WORKER_CODE } from '../support/queue.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { POD_GONE_MS, TWO_PODS_MS } from '../support/test-namespace.ts';
import { withoutServerMetadata, workload } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();
const START_MS = 120_000;
const END_MS = 120_000;

interface Pod {
  readonly spec: { readonly containers: { readonly name: string }[] };
  readonly status: { readonly podIP: string };
}

describe.skipIf(cluster === undefined)('--replace', () => {
  let scene: Scene;

  beforeAll(async () => {
    if (cluster !== undefined) scene = await Scene.open(cluster, 'replace');
  }, START_MS);
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
  }, END_MS);

  const process = (port: number): string[] => [
    ...['--env', 'WHO=laptop', '--env', `PORT=${port}`],
    ...['--', 'node', scene.processFile],
  ];

  test(
    'a StatefulSet behind a headless Service: callers by name and by the pods’ addresses reach the laptop, another container stays',
    async () => {
      const service = { clusterIP: 'None', ports: [{ name: 'web', port: 8080, targetPort: 'http' }] };
      const side = { name: 'side', image: scene.cluster.nodeImage, imagePullPolicy: 'IfNotPresent' };
      const [, , set] = workload({ name: 'web', image: scene.cluster.nodeImage, kind: 'StatefulSet', service }) as {
        spec: { template: { spec: { containers: unknown[] } } };
      }[];
      assert.ok(set);
      set.spec.template.spec.containers.push({ ...side, command: ['node', '-e', 'setInterval(() => {}, 1000)'] });
      const objects = workload({ name: 'web', image: scene.cluster.nodeImage, kind: 'StatefulSet', service });
      await scene.namespace.apply([...objects.slice(0, 2), set]);
      await scene.namespace.rolledOut('statefulset/web');
      const resources = ['statefulset/web', 'service/web'];
      const before = await scene.snapshot(...resources);
      assert.deepEqual((await scene.call('http://web:8080/')).by, { app: 20 });

      const args = ['web', '--replace', '--port', '3000', ...process(3000)];
      const run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
      await run.until('ready', 2 * POD_GONE_MS);
      const now = await scene.namespace.livePods<Pod>('web-');
      assert.deepEqual(
        now.map(({ spec }) => spec.containers.map(({ name }) => name)),
        [1, 2].map(() => ['kube-intercept-agent', 'side']),
      );
      assert.deepEqual(await scene.call('http://web:8080/', 60).then(({ by, failures }) => ({ by, failures })), {
        by: { laptop: 60 },
        failures: [],
      });
      for (const { status } of now)
        assert.deepEqual((await scene.call(`http://${status.podIP}:8080/`)).by, { laptop: 20 });

      assert.equal(await run.interrupt(), 0, run.transcript);
      assert.deepEqual(await scene.snapshot(...resources), before);
      assert.equal(await scene.leftovers(), '');
      await scene.namespace.rolledOut('statefulset/web');
      assert.deepEqual((await scene.call('http://web:8080/')).by, { app: 20 });
    },
    TWO_PODS_MS,
  );

  describe.skipIf(cluster?.toolsImage === undefined)('of a worker that consumes a list in Redis', () => {
    let queue: Queue;

    beforeAll(async () => {
      queue = await startQueue(scene.cluster, scene.namespace);
      const options = {
        name: 'worker',
        image: scene.cluster.nodeImage,
        ports: 'undeclared',
        code: WORKER_CODE,
      } as const;
      const [, worker] = workload({ ...options, container: { readinessProbe: undefined, livenessProbe: undefined } });
      await scene.namespace.apply([worker]);
      await scene.namespace.rolledOut('deployment/worker');
    }, START_MS);

    test(
      'only the laptop takes jobs while it runs, only the app before and after, and no job is lost',
      async () => {
        const before = withoutServerMetadata(await scene.namespace.get('deployment/worker'));
        await queue.add('before', 20);
        assert.deepEqual(await queue.doneBy('before', 20), { app: 20 });

        const args = ['deploy/worker', '--replace', '--env', 'WHO=laptop', '--', 'node', '-e', WORKER_CODE];
        const run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
        await run.until('ready', START_MS);
        await queue.add('during', 100);
        assert.deepEqual(await queue.doneBy('during', 100), { laptop: 100 });

        await run.interrupt();
        assert.deepEqual(withoutServerMetadata(await scene.namespace.get('deployment/worker')), before);
        assert.equal(await scene.leftovers(), '');
        await queue.add('after', 20);
        assert.deepEqual(await queue.doneBy('after', 20), { app: 20 });
      },
      START_MS + END_MS,
    );
  });
});
