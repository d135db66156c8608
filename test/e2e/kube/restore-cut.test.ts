import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { readInstall } from '../../../cli/kube/annotation.ts';
import { install } from '../../../cli/kube/apply.ts';
import { KubeClient } from '../../../cli/kube/client.ts';
import { loadKubeConfig } from '../../../cli/kube/kubeconfig.ts';
import { newInstallId } from '../../../cli/kube/names.ts';
import type { Workload, WorkloadRef } from '../../../cli/kube/objects.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { restore } from '../../../cli/kube/restore.ts';
import { retargetService } from '../../../cli/kube/retarget.ts';
import { type Cut, type CuttingApi, startCuttingApi } from '../../support/cutting-api.ts';
import { Bench, clusterOrReason } from './installing.ts';

const cluster = await clusterOrReason();
/** More than an install and a restore of one Deployment with one Service have. */
const MAX_WRITES = 30;

describe.skipIf(cluster === undefined)('an install or restore whose connection is cut at any write', () => {
  let bench: Bench;
  let api: CuttingApi;
  let client: KubeClient;
  let ref: WorkloadRef;
  let request: InstallRequest;
  let before: unknown[];
  beforeAll(async () => {
    if (cluster === undefined) return;
    bench = await Bench.open(cluster, 'kube-cut');
    api = await startCuttingApi(cluster);
    const kubeconfig = `${bench.namespace.developerKubeconfig}.cutting`;
    await writeFile(kubeconfig, bench.namespace.kubeconfigFor(api.url), { mode: 0o600 });
    client = await KubeClient.connect(await loadKubeConfig({ kubeconfig }));
    ref = await bench.deploy({ name: 'cut', ports: 'numeric', replicas: 1 });
    request = await bench.request('cut');
    // Without pods every rollout is complete at once: what is tested are the writes.
    await bench.namespace.kubectl(['scale', 'deployment/cut', '--replicas=0']);
    await bench.namespace.rolledOut('deployment/cut');
    before = await bench.snapshot(ref);
  });
  afterAll(async () => {
    await client?.close();
    await api?.[Symbol.asyncDispose]();
    await bench?.[Symbol.asyncDispose]();
  });

  /** As a session from its start to its end. @returns what it met */
  const session = async (installId: string): Promise<unknown> => {
    try {
      const { record } = await install(client, { ...request, installId });
      await retargetService(client, ref, record, 'cut');
      await restore(client, ref, { installId });
      return undefined;
    } catch (failure) {
      return failure;
    }
  };

  for (const how of ['before', 'after'] satisfies Cut[])
    test(`(${how} the write is carried out) is restored by a colleague, exactly, with nothing left`, async () => {
      let met = 0;
      for (let write = 1; write <= MAX_WRITES; write++) {
        const installId = newInstallId();
        api.cutAt(write, how);
        const failure = await session(installId);
        const cutWrite = `write ${write} cut ${how}: ${String(failure)}`;
        if (api.writes < write) break; // there are no more
        met++;
        const left = await bench.namespace.get<Workload>('deployment/cut');
        const hadJournal = readInstall(left).state !== 'none';
        await restore(bench.client, ref);
        assert.deepEqual(await bench.snapshot(ref), before, cutWrite);
        // Who was cut before the patch has nothing on the workload: its objects are its own session's, guardian's or the janitor's.
        if (!hadJournal) await restore(bench.client, ref, { over: installId });
        assert.equal(await bench.leftovers(), '', cutWrite);
      }
      console.log(`cut ${how}: ${met} writes`);
      assert.ok(met >= 8 && met < MAX_WRITES, `${met} writes`);
    });

  test('by two people at once at every write ends restored', async () => {
    for (let write = 1; write <= 5; write++) {
      const { record } = await install(bench.client, { ...request, installId: newInstallId() });
      await retargetService(bench.client, ref, record, 'cut');
      api.cutAt(write, 'after');
      await Promise.allSettled([restore(client, ref), restore(bench.client, ref)]);
      await restore(bench.client, ref);
      assert.deepEqual(await bench.snapshot(ref), before, `write ${write}`);
      assert.equal(await bench.leftovers(), '', `write ${write}`);
    }
  });
});
