import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { Sampler } from '../support/sampler.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { POD_GONE_MS } from '../support/test-namespace.ts';

const cluster = await clusterOrUndefined();
const OBJECTS = ['deployment/web', 'service/web', 'service/other'];
/** The app ends at once on SIGTERM. */
const env = [{ name: 'DRAIN_MS', value: '0' }];
/** A busy node's kubelet would end the app by it, whoever calls. */
const container = { livenessProbe: undefined };
const SELECTOR = { app: 'web' };

describe.skipIf(cluster === undefined)('old pods that are held until no caller comes to them', () => {
  let scene: Scene;
  let before: unknown[];
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'hold');
    const spec = { selector: SELECTOR, ports: [{ name: 'web', port: 80, targetPort: 8080 }] };
    await scene.namespace.apply([{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'other' }, spec }]);
    await scene.deploy({ name: 'web', ports: 'named', replicas: 2, env, container });
    before = await scene.snapshot(...OBJECTS);
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  /** Nothing listens on the laptop: the app answers, whatever happens to the session. */
  async function start(...args: readonly string[]): Promise<InterceptRun> {
    return await startIntercept(scene.laptop, ['web', '--port', '3000', ...args], { namespace: scene.namespace });
  }

  async function untilRestored(what: string): Promise<void> {
    await waitFor(
      async () => {
        const same = JSON.stringify(await scene.snapshot(...OBJECTS)) === JSON.stringify(before);
        return same && (await scene.leftovers()) === '' ? true : undefined;
      },
      { timeoutMs: 120_000, intervalMs: 500, onTimeout: () => new Error(`not restored: ${what}`) },
    ).catch(async (failure: unknown) => {
      assert.deepEqual(await scene.snapshot(...OBJECTS), before, what);
      throw failure;
    });
  }

  interface Spec {
    readonly minReadySeconds?: number;
    readonly ports?: readonly { readonly targetPort: number | string }[];
  }
  const specOf = async (resource: string): Promise<Spec> => (await scene.namespace.get<{ spec: Spec }>(resource)).spec;

  test('are there again when the session is killed before or after the Services are switched, and no caller notices', async () => {
    await using web = await Sampler.start(scene.cluster, scene.namespace, 'web', { intervalMs: 20 });
    await using other = await Sampler.start(scene.cluster, scene.namespace, 'other', { intervalMs: 20 });
    for (const event of ['patched', 'retargeted'] as const) {
      const run = await start();
      await run.until(event, 120_000);
      run.child.kill('SIGSTOP'); // so that it lets go of nothing (5 s after the switch) before it was looked at
      assert.equal((await specOf('deployment/web')).minReadySeconds, 300);
      run.child.kill('SIGKILL');
      await run.exited;
      await untilRestored(`killed after ${event}:\n${run.transcript}`); // by its guardian
    }
    for (const sampler of [web, other]) {
      await sampler.settled('app');
      const failed = (await sampler.stop()).filter(({ by }) => by === 'failed');
      assert.deepEqual(failed, [], sampler.text(failed));
    }
  });

  test('are let go, and Services have their names back, when a session that keeps its agent ends at once', async () => {
    const run = await start('--keep-agent');
    await run.until('retargeted', 120_000);
    run.child.kill('SIGSTOP');
    const switched = await Promise.all(OBJECTS.map(specOf));
    run.child.kill('SIGTERM');
    run.child.kill('SIGCONT');
    assert.deepEqual(switched[1]?.ports?.[0]?.targetPort, 'ki-9901', run.transcript);
    await run.exited;
    const [deployment, web, other] = await Promise.all(OBJECTS.map(specOf));
    assert.equal(deployment?.minReadySeconds, undefined, run.transcript);
    assert.deepEqual([web?.ports?.[0]?.targetPort, other?.ports?.[0]?.targetPort], ['http', 8080], run.transcript);
    assert.equal((await scene.call('web')).failures.length, 0);
    const left = await runIntercept(scene.laptop, ['leave', 'web'], { namespace: scene.namespace });
    assert.equal(left.code, 0, left.stderr);
    await untilRestored(left.stderr);
  });

  // the last: the API server goes by a quota that is gone for half a minute (its live lookups are cached)
  test('go one after the other, with a warning, where a quota leaves no room for all', async () => {
    const items = await waitFor(
      async () => {
        const pods = await scene.namespace.get<{ items: { metadata: { deletionTimestamp?: string } }[] }>('pods');
        return pods.items.some(({ metadata }) => metadata.deletionTimestamp !== undefined) ? undefined : pods.items;
      },
      { timeoutMs: POD_GONE_MS, onTimeout: () => new Error('pods of before do not end') },
    );
    const hard = { pods: `${items.length + 1}` };
    await scene.namespace.apply([
      { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'tight' }, spec: { hard } },
    ]);
    await scene.namespace.quotaInForce('tight');
    const run = await start();
    try {
      const warned = await run.untilMatch(
        (event) => event.event === 'warning' && event.message.includes('no room for all new pods'),
        'a warning',
        120_000,
      );
      assert.match(JSON.stringify(warned), /exceeded quota/);
      await scene.namespace.rolledOut('deployment/web');
      assert.equal((await specOf('deployment/web')).minReadySeconds, undefined);
    } finally {
      run.child.kill('SIGTERM');
      await run.exited;
    }
    await scene.namespace.kubectl(['delete', 'resourcequota', 'tight']);
    await untilRestored(run.transcript);
  });
});
