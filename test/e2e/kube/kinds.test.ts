import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { install } from '../../../cli/kube/apply.ts';
import { findInstalls } from '../../../cli/kube/inventory.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { isPodReady, type Pod, type WorkloadRef, workloadText } from '../../../cli/kube/objects.ts';
import { restore } from '../../../cli/kube/restore.ts';
import { waitForRollout } from '../../../cli/kube/rollout.ts';
import { parseTarget, resolveTarget } from '../../../cli/kube/target.ts';
import { TWO_PODS_MS } from '../../support/test-namespace.ts';
import type { WorkloadOptions } from '../../support/workloads.ts';
import { Bench, clusterOrReason } from './installing.ts';

const cluster = await clusterOrReason();

type Case = Omit<WorkloadOptions, 'image'>;
const cases: readonly Case[] = [
  { name: 'daemon', kind: 'DaemonSet' },
  { name: 'daemon-on-delete', kind: 'DaemonSet', updateStrategy: 'OnDelete', ports: 'numeric' },
  { name: 'stateful-on-delete', kind: 'StatefulSet', updateStrategy: 'OnDelete' },
  { name: 'bare-set', kind: 'ReplicaSet', ports: 'numeric' },
];

describe.skipIf(cluster === undefined)('kinds of workloads, on a real cluster', { timeout: TWO_PODS_MS }, () => {
  let bench: Bench;
  beforeAll(async () => {
    if (cluster !== undefined) bench = await Bench.open(cluster, 'kube-kinds');
  });
  afterAll(async () => bench?.[Symbol.asyncDispose]());

  const podsOf = async (name: string): Promise<Pod[]> =>
    (await bench.namespace.livePods<Pod>()).filter(({ metadata }) => metadata.labels?.app === name); // none taken out
  const hasAgent = ({ spec }: Pod): boolean => spec.containers.some(({ name }) => name === AGENT_CONTAINER);

  for (const one of cases)
    test(`${one.kind}${one.updateStrategy === undefined ? '' : ` with ${one.updateStrategy}`}: the agent comes into every pod, is found by everybody, and all is as before when it is out`, async () => {
      const ref = await bench.deploy(one);
      const before = await bench.snapshot(ref);
      const uids = (await podsOf(one.name)).map(({ metadata }) => metadata.uid);
      const { record } = await bench.intercept(one.name);
      const during = await podsOf(one.name);
      assert.deepEqual(
        during.map(hasAgent),
        uids.map(() => true),
      );
      const [found] = (await findInstalls(bench.client, bench.namespace.name)).filter(
        ({ ref: { name } }) => name === one.name,
      );
      assert.deepEqual([found?.ref, found?.install.state, found?.wanted], [ref, 'installed', uids.length]);
      assert.equal(found?.retargetedService, one.ports === 'numeric' ? one.name : undefined);
      assert.equal((await restore(bench.client, ref, { installId: record.installId })).outcome, 'restored');
      const after = await podsOf(one.name);
      assert.deepEqual(
        after.map((pod) => [hasAgent(pod), isPodReady(pod)]),
        uids.map(() => [false, true]),
      );
      assert.deepEqual(await bench.snapshot(ref), before);
      assert.equal(await bench.leftovers(), '');
    });

  for (const [kind, updateStrategy] of [
    ['StatefulSet', 'OnDelete'],
    ['ReplicaSet', undefined],
  ] as const)
    test(`a ${kind} whose pods are replaced one by one never lacks two, and who restores half-way leaves the untouched pods alone`, async () => {
      const name = `half-${kind.toLowerCase()}`;
      const ref = await bench.deploy({ name, kind, replicas: 3, ...(updateStrategy && { updateStrategy }) });
      const before = await bench.snapshot(ref);
      const untouched = new Map((await podsOf(name)).map(({ metadata }) => [metadata.uid, metadata.name]));
      const installed = await install(bench.client, await bench.request(name));
      const cut = new AbortController();
      let least = 3;
      const watching = watchReady(name, (ready) => {
        least = Math.min(least, ready);
      });
      const rollout = waitForRollout(bench.client, ref, {
        generation: installed.workload.metadata.generation,
        signal: cut.signal,
        onProgress: ({ updatedReady }) => {
          if (updatedReady === 1) cut.abort(new Error('cut'));
        },
      });
      await assert.rejects(rollout, /cut/);
      const kept = (await podsOf(name)).filter(({ metadata }) => untouched.has(metadata.uid));
      assert.ok(kept.length >= 1 && kept.length <= 2);
      await restore(bench.client, ref);
      await watching.stop();
      const uids = (await podsOf(name)).map(({ metadata }) => metadata.uid);
      for (const { metadata } of kept)
        assert.ok(uids.includes(metadata.uid), `${metadata.name} was replaced for nothing`);
      assert.ok(least >= 2, `only ${least} of 3 pods were ready at a time`);
      assert.deepEqual(await bench.snapshot(ref), before);
      assert.equal(await bench.leftovers(), '');
    });

  /** Follows how many pods have become ready and were not told to end; what a slow machine's probes say in between does not count. */
  function watchReady(name: string, tell: (ready: number) => void): { stop(): Promise<void> } {
    let ended = false;
    const everReady = new Set<string | undefined>();
    const run = async (): Promise<void> => {
      while (!ended) {
        const pods = await podsOf(name);
        for (const pod of pods) if (isPodReady(pod)) everReady.add(pod.metadata.uid);
        tell(pods.filter(({ metadata }) => everReady.has(metadata.uid)).length);
      }
    };
    const running = run();
    return {
      stop: async () => {
        ended = true;
        await running;
      },
    };
  }

  test('a ReplicaSet of a Deployment stands for the Deployment, and a pod is refused with it', async () => {
    const ref = await bench.deploy({ name: 'owned', replicas: 1 });
    const [pod] = await podsOf('owned');
    assert.ok(pod !== undefined);
    const set = pod.metadata.ownerReferences?.[0]?.name ?? '';
    const resolve = (target: string): Promise<{ kind: string; workload: { metadata: { name: string } } }> =>
      resolveTarget(bench.client, { target: parseTarget(target), namespace: bench.namespace.name });
    for (const target of [`rs/${set}`, set, 'owned', 'svc/owned', 'deploy/owned']) {
      const { kind, workload } = await resolve(target);
      assert.deepEqual({ kind, name: workload.metadata.name }, { kind: ref.kind, name: ref.name });
    }
    await assert.rejects(resolve(`pod/${pod.metadata.name}`), {
      code: 'TARGET_UNSUPPORTED',
      hint: /deployment\/owned/,
    });
    await assert.rejects(resolve('pod/none'), { code: 'TARGET_NOT_FOUND' });
    await assert.rejects(resolve('ds/ownde'), { code: 'TARGET_NOT_FOUND', message: /daemonset\/ownde/ });
  });

  test('all Services that select the pods of a workload are told, and none that does not', async () => {
    await bench.deploy({ name: 'many', replicas: 1 });
    const service = (name: string, spec: object): unknown => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name },
      spec,
    });
    await bench.namespace.apply([
      service('many-headless', { clusterIP: 'None', selector: { app: 'many' }, ports: [{ port: 80 }] }),
      service('many-metrics', { selector: { app: 'many' }, ports: [{ port: 9090, targetPort: 8080 }] }),
      service('many-elsewhere', { type: 'ExternalName', externalName: 'many.example' }),
      service('many-other', { selector: { app: 'other' }, ports: [{ port: 80 }] }),
    ]);
    const found = await resolveTarget(bench.client, {
      target: parseTarget('svc/many'),
      namespace: bench.namespace.name,
    });
    assert.equal(found.service?.metadata.name, 'many');
    assert.deepEqual(found.services.map(({ metadata }) => metadata.name).sort(), [
      'many',
      'many-headless',
      'many-metrics',
    ]);
  });

  test('the pods of a Job cannot be intercepted, with or without a Service', async () => {
    const labels = { app: 'once' };
    const container = { name: 'app', image: bench.cluster.nodeImage, command: ['sleep', '1000'] };
    const spec = { restartPolicy: 'Never', terminationGracePeriodSeconds: 0, containers: [container] };
    await bench.namespace.apply([
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'once' },
        spec: { selector: labels, ports: [{ port: 80 }] },
      },
      {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'once' },
        spec: { template: { metadata: { labels }, spec } },
      },
    ]);
    await bench.namespace.kubectl(['wait', '--for=condition=Ready', 'pod', '-l', 'app=once', '--timeout=60s'], {
      timeoutMs: 65_000,
    });
    const target = parseTarget('once');
    await assert.rejects(resolveTarget(bench.client, { target, namespace: bench.namespace.name }), {
      code: 'TARGET_UNSUPPORTED',
      message: /job\/once, cannot be intercepted: a Job's pod template/,
      hint: /intercept run -- /,
    });
  });

  test('a DaemonSet that is deleted meanwhile leaves its Service put back', async () => {
    const ref: WorkloadRef = await bench.deploy({ name: 'gone', kind: 'DaemonSet', ports: 'numeric' });
    await bench.intercept('gone');
    await bench.namespace.kubectl(['delete', workloadText(ref)]);
    assert.deepEqual(await restore(bench.client, ref), { outcome: 'restored', isGone: true, services: ['gone'] });
  });
});
