import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { readInstall } from '../../../cli/kube/annotation.ts';
import { install } from '../../../cli/kube/apply.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { isPodReady, type Pod, type Service, type Workload } from '../../../cli/kube/objects.ts';
import { restore } from '../../../cli/kube/restore.ts';
import { retargetService } from '../../../cli/kube/retarget.ts';
import { waitFor } from '../../cluster/exec.ts';
import { POD_GONE_MS, TWO_PODS_MS } from '../../support/test-namespace.ts';
import { Bench, clusterOrReason } from './installing.ts';

const cluster = await clusterOrReason();

describe.skipIf(cluster === undefined)('restore on a real cluster', { timeout: TWO_PODS_MS }, () => {
  let bench: Bench;
  beforeAll(async () => {
    if (cluster !== undefined) bench = await Bench.open(cluster, 'kube-restore');
  });
  afterAll(async () => bench?.[Symbol.asyncDispose]());

  test('two people who restore at once both succeed, and surge settings are back only after the rollout', async () => {
    const ref = await bench.deploy({ name: 'both', ports: 'numeric' });
    const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } };
    await bench.namespace.kubectl(['patch', 'deployment', 'both', '-p', JSON.stringify({ spec: { strategy } })]);
    await bench.namespace.rolledOut('deployment/both');
    const before = await bench.snapshot(ref);
    const { record } = await bench.intercept('both');
    const during = await bench.namespace.get<Workload>('deployment/both');
    assert.deepEqual(during.spec.strategy?.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 });
    const { installId } = record;
    const results = await Promise.all([1, 2].map(() => restore(bench.client, ref, { installId })));
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['restored', 'restored'],
    );
    assert.deepEqual(await bench.snapshot(ref), before);
    assert.equal(await bench.leftovers(), '');
  });

  test('a restore that was cut off after any step is finished by the next one', async () => {
    const ref = await bench.deploy({ name: 'cut', ports: 'numeric', replicas: 1 });
    const before = await bench.snapshot(ref);
    for (const cutAfter of ['installed', 'retargeted', 'service', 'workload', 'rollout']) {
      const installed = await install(bench.client, await bench.request('cut'));
      if (cutAfter !== 'installed') await retargetService(bench.client, ref, installed.record, 'cut');
      const cut = new AbortController();
      const onProgress = ({ step }: { step: string }): void => {
        if (step === cutAfter) cut.abort(new Error('cut'));
      };
      const first = restore(bench.client, ref, { signal: cut.signal, onProgress });
      if (cutAfter === 'installed' || cutAfter === 'retargeted') await first;
      else await assert.rejects(first, /cut/);
      await restore(bench.client, ref);
      assert.deepEqual(await bench.snapshot(ref), before, cutAfter);
      assert.equal(await bench.leftovers(), '', cutAfter);
    }
  });

  test('a StatefulSet that is left in the middle of its rollout is restored when no pod has the agent any more', async () => {
    const ref = await bench.deploy({ name: 'midway', kind: 'StatefulSet' });
    const before = await bench.snapshot(ref);
    const podsOf = (): Promise<Pod[]> => bench.namespace.livePods<Pod>('midway-');
    const hasAgent = ({ spec }: Pod): boolean => spec.containers.some(({ name }) => name === AGENT_CONTAINER);
    await install(bench.client, await bench.request('midway'));
    await waitFor(
      async () => {
        const pods = await podsOf();
        const first = pods.find(({ metadata }) => metadata.name === 'midway-0');
        const isFirstLeft = first !== undefined && !hasAgent(first);
        return !isFirstLeft && pods.some((pod) => hasAgent(pod) && isPodReady(pod)) ? true : undefined;
      },
      { timeoutMs: POD_GONE_MS, onTimeout: () => new Error('pod 0 is not replaced') },
    );
    assert.equal((await restore(bench.client, ref)).outcome, 'restored');
    const pods = await podsOf();
    assert.deepEqual(
      pods.map((pod) => [pod.metadata.name, hasAgent(pod), isPodReady(pod)]),
      [
        ['midway-0', false, true],
        ['midway-1', false, true],
      ],
    );
    assert.deepEqual(await bench.snapshot(ref), before);
    assert.equal(await bench.leftovers(), '');
  });

  test("a colleague's newer values are kept", async () => {
    const ref = await bench.deploy({ name: 'theirs', ports: 'numeric', replicas: 1 });
    await bench.intercept('theirs');
    const image = {
      spec: { template: { spec: { containers: [{ name: 'app', env: [{ name: 'WHO', value: 'new' }] }] } } },
    };
    await bench.namespace.kubectl(['patch', 'deployment', 'theirs', '-p', JSON.stringify(image)]);
    await bench.namespace.kubectl(['scale', 'deployment/theirs', '--replicas=2']);
    await restore(bench.client, ref);
    const after = await bench.namespace.get<Workload>('deployment/theirs');
    assert.equal(after.spec.replicas, 2);
    assert.deepEqual(readInstall(after), { state: 'none' });
    assert.deepEqual(
      after.spec.template.spec.containers.map(({ name, env }) => [name, env?.find((v) => v.name === 'WHO')?.value]),
      [['app', 'new']],
    );
  });

  test('the Service of a workload that was deleted meanwhile is put back', async () => {
    const ref = await bench.deploy({ name: 'deleted', ports: 'numeric', replicas: 1 });
    await bench.intercept('deleted');
    await bench.namespace.kubectl(['delete', 'deployment', 'deleted']);
    assert.deepEqual(await restore(bench.client, ref), { outcome: 'restored', isGone: true, services: ['deleted'] });
    const service = await bench.namespace.get<Service>('service/deleted');
    assert.equal(service.spec.ports?.[0]?.targetPort, 8080);
    assert.equal(service.metadata.annotations?.['kube-intercept.dev/intercept'], undefined);
  });
});
