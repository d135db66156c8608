import assert from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { RestoreScene, START_MS } from '../support/restore-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

describe.skipIf(cluster === undefined)('an end that finds the cluster changed', () => {
  let its: RestoreScene;
  beforeAll(async () => {
    if (cluster !== undefined) its = await RestoreScene.open(cluster, 'changed', 1);
  });
  afterEach(async () => its?.endRuns());
  afterAll(async () => its?.[Symbol.asyncDispose]());

  test('without the right to restore says RESTORE_INCOMPLETE and how to go on, and the guardian restores once it may', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    const binding = JSON.parse(await its.scene.namespace.kubectl(['get', 'rolebinding', 'developer', '-o', 'json']));
    await its.scene.namespace.kubectl(['delete', 'rolebinding', 'developer']);
    const user = `system:serviceaccount:${its.scene.namespace.name}:developer`;
    await waitFor(
      async () => {
        const asked = await its.scene.namespace
          .kubectl(['auth', 'can-i', 'patch', 'deployments', '--as', user])
          .catch(() => 'no'); // can-i exits with 1
        return asked.trim() === 'yes' ? undefined : true;
      },
      { timeoutMs: 10_000, onTimeout: () => new Error('the role binding is still in force') },
    );
    run.child.kill('SIGINT');
    assert.equal((await run.exited).code, 10, run.transcript);
    const error = await run.until('error');
    assert.equal(error.code, 'RESTORE_INCOMPLETE');
    assert.match(error.message, /deployment\/web/);
    assert.match(error.hint ?? '', /intercept leave deployment\/web/);
    assert.deepEqual((await its.scene.call('web', 20)).by, { app: 20 });

    const { metadata, ...rest } = binding;
    await its.scene.namespace.apply({ ...rest, metadata: { name: metadata.name } });
    await its.untilRestored(() => run.transcript);
    await its.assertNothingOn(its.scene.laptop);
  });

  test('with kubectl rollout undo, while the old pods are held, puts back the settings that undo leaves as they are', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    await its.scene.namespace.kubectl(['rollout', 'undo', 'deployment/web']);
    assert.equal((await run.exited).code, 13, run.transcript);
    assert.equal((await run.until('error')).code, 'TARGET_REVERTED');
    await its.assertRestored(run.transcript);
    await its.scene.namespace.rolledOut('deployment/web');
    assert.deepEqual((await its.scene.call('web', 20)).by, { app: 20 });
    await its.assertNothingOn(its.scene.laptop);
  });

  test('with the Service gone ends by itself and restores the workload', async () => {
    const run = await its.start('api');
    await run.until('ready', START_MS);
    await its.scene.namespace.kubectl(['delete', 'service', 'api']);
    assert.equal((await run.exited).code, 0, run.transcript);
    assert.equal((await run.until('leaving')).reason, 'service/api was deleted');
    const workload = JSON.stringify(await its.scene.snapshot('deployment/api'));
    assert.ok(!workload.includes('kube-intercept'), workload);
    assert.equal(await its.scene.leftovers(), '');
    await its.assertNothingOn(its.scene.laptop);
  });

  test('with the workload deleted ends by itself and leaves nothing', async () => {
    const run = await its.start('web');
    await run.until('ready', START_MS);
    await its.scene.namespace.kubectl(['delete', 'deployment', 'web']);
    assert.equal((await run.exited).code, 0, run.transcript);
    assert.equal((await run.until('leaving')).reason, 'deployment/web was deleted');
    const restored = run.events.filter((event) => event.event === 'restored');
    assert.ok(!restored.some(({ workload }) => workload === 'deployment/web'), run.transcript);
    await waitFor(async () => ((await its.scene.leftovers()) === '' ? true : undefined), {
      timeoutMs: 30_000,
      onTimeout: () => new Error('ConfigMap or Secret outlived the workload'),
    });
    await its.assertNothingOn(its.scene.laptop);
  });
});
