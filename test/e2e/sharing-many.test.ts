import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { type InterceptRun, startIntercept } from '../support/intercept-run.ts';
import { KEY_FIELD, openManySessions } from '../support/many-sessions.ts';
import { callMixed, type MixedKind } from '../support/mixed-load.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_PORT } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

const COUNT = 250;
/** Asks for each key, and for keys that nobody has; a line for each answer that is not the right one, then how many were right. */
const ASK_CODE = `
const http = require('node:http');
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const ask = (key) => new Promise((resolve, reject) => {
  http.get('http://web/', { agent, headers: { '${KEY_FIELD}': key } }, async (response) => {
    let text = '';
    for await (const chunk of response) text += chunk;
    resolve(text.trim().split(' ')[0]);
  }).on('error', reject);
});
(async () => {
  let right = 0;
  await Promise.all(Array.from({ length: ${COUNT} + 10 }, async (_, index) => {
    const who = await ask('many-' + index);
    if (who === (index < ${COUNT} ? 'many-' + index : 'app')) right++;
    else console.log(index + ' was answered by ' + who);
  }));
  console.log('right: ' + right);
  process.exit();
})();
`;
const KINDS: Readonly<Record<string, MixedKind>> = {
  own: { fields: { [KEY_FIELD]: 'cli' } },
  nobodys: { fields: { [KEY_FIELD]: `many-${COUNT}` } },
  unkeyed: { fields: {} },
};

describe.skipIf(cluster === undefined)(`${COUNT} filtered intercepts on one port beside that of a session`, () => {
  let scene: Scene;
  let run: InterceptRun;

  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'many');
    await scene.deploy({ name: 'web', replicas: 1 });
    const env = ['--env', 'WHO=cli', '--env', 'PORT=3000'];
    const args = ['web', '--port', '3000', '--header', `${KEY_FIELD}: cli`, ...env, '--', 'node', scene.processFile];
    run = await startIntercept(scene.laptop, args, { namespace: scene.namespace });
    await run.until('ready', 120_000);
  });
  afterAll(async () => {
    run?.child.kill('SIGINT');
    await run?.exited;
    await scene?.[Symbol.asyncDispose]();
  });

  test('each request is answered by the one that has its key, and those without by the app', async () => {
    const many = { count: COUNT, prefix: 'many', appPort: APP_PORT };
    {
      await using _ = await openManySessions(scene.namespace, 'web', many);
      const asked = await scene.caller.exec(['node', '-e', ASK_CODE], { timeoutMs: 60_000 });
      assert.equal(asked.stdout, `right: ${COUNT + 10}\n`, asked.stderr + run.transcript);
      const report = await callMixed(scene.caller, 'http://web/', KINDS, 300);
      assert.deepEqual(report.failures, []);
      const answered = Object.entries(report.by).map(([kind, by]) => [kind, Object.keys(by)]);
      assert.deepEqual(Object.fromEntries(answered), { own: ['cli'], nobodys: ['app'], unkeyed: ['app'] });
    }
    assert.equal(await run.interrupt(), 0, run.transcript);
    assert.equal(await scene.leftovers(), '');
  });
});
