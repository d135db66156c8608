import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();
const START_MS = 120_000;

/** Asks each URL with and without the key, each time on a connection of its own; prints who answered, and the mark. */
const ASK_CODE = `
const http = require('node:http');
const get = (url, headers) => new Promise((resolve) => {
  http.get(url, { headers, agent: false }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; }).on('end', () =>
      resolve([body.split(' ')[0], response.headers['x-intercept-by'] ?? '']));
  }).on('error', (error) => resolve([String(error), '']));
});
(async () => {
  for (const url of process.argv.slice(1))
    for (const headers of [{}, { baggage: 'intercept=me' }]) console.log(JSON.stringify(await get(url, headers)));
})();
`;

describe.skipIf(cluster === undefined)('a process that calls a Service which another session of its laptop has', () => {
  let scene: Scene;
  let urls: string[];

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'direct');
    await scene.deploy({ name: 'web', replicas: 1 }, { name: 'api', replicas: 1 });
    const { name } = scene.namespace;
    const { spec } = JSON.parse(await scene.namespace.kubectl(['get', 'service', 'api', '-o', 'json']));
    urls = ['http://api/', `http://api.${name}/`, `http://api.${name}.svc.cluster.local/`, `http://${spec.clusterIP}/`];
  });
  afterAll(async () => {
    await scene?.[Symbol.asyncDispose]();
  });

  const startApi = async (...args: string[]): Promise<InterceptRun> => {
    const process = ['--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', '-e', APP_CODE];
    const run = await startIntercept(scene.laptop, ['api', '--port', '3000', ...args, ...process], {
      namespace: scene.namespace,
    });
    await run.until('ready', START_MS);
    return run;
  };

  /** Who answers a process in web's place: for each URL without and with the key. */
  const ask = async (mode: string): Promise<unknown[]> => {
    const args = ['run', 'deploy/web', '--network', mode, '--', 'node', '-e', ASK_CODE, ...urls];
    const { code, stdout, stderr } = await runIntercept(scene.laptop, args, {
      namespace: scene.namespace,
      timeoutMs: START_MS,
    });
    assert.equal(code, 0, stderr);
    return stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
  };

  /** What has gone to the laptop by api's agent. */
  const takenByAgent = async (): Promise<number> => {
    const { stdout } = await runIntercept(scene.laptop, ['list', '--json'], { namespace: scene.namespace });
    const listed: { workload: string; intercepts: { taken: number }[] }[] = JSON.parse(stdout);
    const api = listed.find(({ workload }) => workload === 'deployment/api');
    assert.ok(api !== undefined && api.intercepts.length === 1, stdout);
    return api.intercepts.reduce((sum, { taken }) => sum + taken, 0);
  };

  test.each(['namespace', 'proxy'])('reaches its process without the cluster, in %s mode', async (mode) => {
    const run = await startApi();
    const before = await takenByAgent();
    assert.deepEqual(
      await ask(mode),
      urls.flatMap(() => [
        ['laptop', ''],
        ['laptop', ''],
      ]),
    );
    assert.equal(await takenByAgent(), before);
    assert.equal(await run.interrupt(), 0, run.transcript);
  });

  test('reaches it with the requests that its filter takes, and the app with the others', async () => {
    const run = await startApi('--personal', 'me', '--mark');
    const answers = await ask('namespace');
    for (const [at, answer] of answers.entries()) {
      const [who, by] = answer as [string, string];
      assert.equal(who, at % 2 === 0 ? 'app' : 'laptop', JSON.stringify(answers));
      assert.match(by, at % 2 === 0 ? /^$/ : /^[\w-]+@/);
    }
    assert.equal(await takenByAgent(), 0);
    assert.equal(await run.interrupt(), 0, run.transcript);
  });

  test('reaches it through the cluster with --no-direct', async () => {
    const run = await startApi('--personal', 'me', '--no-direct');
    assert.deepEqual(
      await ask('namespace'),
      urls.flatMap(() => [
        ['app', ''],
        ['laptop', ''],
      ]),
    );
    assert.equal(await takenByAgent(), urls.length);
    assert.equal(await run.interrupt(), 0, run.transcript);
  });

  test('reaches the app once that session has ended', async () => {
    assert.deepEqual(
      await ask('namespace'),
      urls.flatMap(() => [
        ['app', ''],
        ['app', ''],
      ]),
    );
  });
});
