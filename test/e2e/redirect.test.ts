import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();
const START_MS = 120_000;
const END_MS = 120_000;
/** Three times what the kubelet needs to restart a container whose liveness probe fails (periodSeconds 1, failureThreshold 2). */
const BLOCKED_MS = 12_000;
const PROBES_MEANWHILE = 8;

/** Answers `<WHO> <host>`, `/probes`: how often it was probed, `/block`: nothing for BLOCKED_MS, as at a breakpoint. */
const CODE = `
let probes = 0;
require('node:http').createServer((request, response) => {
  if (request.url === '/block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${BLOCKED_MS});
  if (request.url === '/healthz') probes += 1;
  response.end(request.url === '/probes' ? String(probes) : (process.env.WHO || 'app') + ' ' + require('node:os').hostname());
}).listen(Number(process.env.PORT || 8080));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
`;

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly containers: { readonly livenessProbe?: { readonly httpGet: { readonly port: number } } }[];
  };
  readonly status: {
    readonly podIP: string;
    readonly containerStatuses: { readonly restartCount: number; readonly ready: boolean }[];
  };
}

describe.skipIf(cluster === undefined)('--capture redirect', () => {
  let scene: Scene;

  beforeAll(async () => {
    // Its init container needs NET_ADMIN.
    if (cluster !== undefined) scene = await Scene.open(cluster, 'redirect', CODE, { podSecurity: 'privileged' });
  }, START_MS);
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
  }, END_MS);

  test(
    'a StatefulSet behind a headless Service: callers reach the laptop, probes the app, also while the process is stopped',
    async () => {
      const service = { clusterIP: 'None', ports: [{ name: 'web', port: 8080, targetPort: 'http' }] };
      const probe = { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1, failureThreshold: 2 };
      const container = { livenessProbe: probe, readinessProbe: probe };
      await scene.deploy({ name: 'web', kind: 'StatefulSet', replicas: 1, code: CODE, service, container });
      const resources = ['statefulset/web', 'service/web'];
      const before = await scene.snapshot(...resources);
      await scene.untilAnswered('http://web:8080/');
      assert.deepEqual((await scene.call('http://web:8080/')).by, { app: 20 });

      const env = ['--env', 'WHO=laptop', '--env', 'PORT=3000'];
      const args = ['web', '--capture', 'redirect', '--port', '3000', ...env, '--', 'node', scene.processFile];
      const run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
      await run.until('ready', START_MS);
      const pod = await scene.namespace.get<Pod>('pod/web-0');
      const { podIP } = pod.status;
      for (const url of ['http://web:8080/', `http://${podIP}:8080/`])
        assert.deepEqual(await scene.call(url).then(({ by, failures }) => ({ by, failures })), {
          by: { laptop: 20 },
          failures: [],
        });

      const spare = pod.spec.containers[0]?.livenessProbe?.httpGet.port;
      assert.ok(spare !== undefined && spare !== 8080);
      const probes = async (): Promise<number> => Number(await scene.get(`http://${podIP}:${spare}/probes`));
      const blocked = scene.get(`http://web:8080/block`);
      const atFirst = await probes();
      let isBlocked = true;
      const unblocked = blocked.then(() => {
        isBlocked = false;
      });
      await waitFor(async () => ((await probes()) >= atFirst + PROBES_MEANWHILE ? true : undefined), {
        timeoutMs: BLOCKED_MS,
        intervalMs: 500,
        onTimeout: () => new Error('the app was not probed'),
      });
      assert.ok(isBlocked, 'the process was to be stopped for longer');
      await unblocked;
      const { status } = await scene.namespace.get<Pod>('pod/web-0');
      assert.deepEqual(
        status.containerStatuses.map(({ restartCount, ready }) => [restartCount, ready]),
        [1, 2].map(() => [0, true]),
      );

      assert.equal(await run.interrupt(), 0, run.transcript);
      assert.deepEqual(await scene.snapshot(...resources), before);
      assert.equal(await scene.leftovers(), '');
      await scene.namespace.rolledOut('statefulset/web');
      assert.deepEqual((await scene.call('http://web:8080/')).by, { app: 20 });
    },
    START_MS + END_MS,
  );
});
