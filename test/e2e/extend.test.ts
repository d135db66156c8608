import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();
const START_MS = 120_000;
const END_MS = 120_000;

describe.skipIf(cluster === undefined)('an agent that serves more than it was brought for', () => {
  let scene: Scene;

  beforeAll(async () => {
    if (cluster !== undefined) scene = await Scene.open(cluster, 'extend');
  }, START_MS);
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
  }, END_MS);

  test(
    'an intercept of a workload that a run stands in: the run goes on, and both leave nothing',
    async () => {
      await scene.deploy({ name: 'web', replicas: 1 });
      const extra = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'admin' } };
      const spec = { selector: { app: 'web' }, ports: [{ port: 9090, targetPort: 8080 }] };
      await scene.namespace.apply([{ ...extra, spec }]);
      const resources = ['deployment/web', 'service/web', 'service/admin'];
      const before = await scene.snapshot(...resources);
      const start = (...args: string[]) => startIntercept(scene.laptop, args, { namespace: scene.namespace });

      // the last answers only, each on a connection of its own
      const get = `require('node:http').get('http://web/', { agent: false, timeout: 3000 }, (r) => r.on('data', (text) => console.log('via ' + text)))`;
      const failing = `.on('timeout', function () { this.destroy(new Error('timeout')); }).on('error', (error) => console.log('failed', error.message))`;
      const code = `setInterval(() => ${get}${failing}, 500)`;
      const run = await start('run', 'deploy/web', '--', 'node', '-e', code);
      await run.until('ready', START_MS);
      await run.untilOutput('via app', START_MS);

      const own = ['--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', scene.processFile];
      const first = await start('svc/web', '--port', '3000', ...own);
      await first.until('ready', START_MS);
      assert.deepEqual((await scene.call('web')).by, { laptop: 20 });
      assert.deepEqual((await scene.call('http://admin:9090/')).by, { app: 20 });
      await run.untilOutput('via laptop', START_MS);
      assert.equal(await first.interrupt(), 0, first.transcript);
      assert.deepEqual((await scene.call('web')).by, { app: 20 });

      // the agent is there, with a port for every Service
      const second = await start('svc/admin', '--port', '3000', ...own);
      await second.until('ready', START_MS);
      await second.until('agent-present');
      assert.deepEqual((await scene.call('http://admin:9090/')).by, { laptop: 20 });
      assert.equal(await second.interrupt(), 0, second.transcript);

      run.child.kill('SIGINT');
      await run.exited;
      assert.deepEqual(await scene.snapshot(...resources), before, run.transcript);
      assert.equal(await scene.leftovers(), '');
    },
    START_MS + END_MS,
  );
});
