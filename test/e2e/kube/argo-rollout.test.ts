import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { install } from '../../../cli/kube/apply.ts';
import { KubeClient } from '../../../cli/kube/client.ts';
import { findInstalls } from '../../../cli/kube/inventory.ts';
import { loadKubeConfig } from '../../../cli/kube/kubeconfig.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { type PodTemplate, type Workload, workloadPath } from '../../../cli/kube/objects.ts';
import { restore } from '../../../cli/kube/restore.ts';
import { retargetService } from '../../../cli/kube/retarget.ts';
import { waitForRollout } from '../../../cli/kube/rollout.ts';
import { parseTarget, resolveTarget } from '../../../cli/kube/target.ts';
import { waitFor } from '../../cluster/exec.ts';
import { readDeveloperRole } from '../../support/developer-role.ts';
import { workload } from '../../support/workloads.ts';
import { Bench, clusterOrReason } from './installing.ts';

const cluster = await clusterOrReason();

const CRD = 'rollouts.argoproj.io';
const HASH = 'rollouts-pod-template-hash';

/**
 * The API server of test/cluster dies of every custom object (Kubernetes 1.20.2 has reflect2 1.0.1, which reads beyond maps of
 * Go 1.18 and later): there the kind is defined and has no objects.
 */
const hasObjects = cluster?.own === false;
/** A test of a cluster that can have Rollouts; elsewhere there is none. */
const withObjects = (name: string, run: () => Promise<void>): void => {
  if (hasObjects) test(name, run);
};

/** Argo's kind without its validation: of Argo Rollouts there is nothing here but what a test does by hand. */
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: CRD },
  spec: {
    group: 'argoproj.io',
    scope: 'Namespaced',
    names: { kind: 'Rollout', listKind: 'RolloutList', plural: 'rollouts', singular: 'rollout', shortNames: ['ro'] },
    versions: [
      {
        name: 'v1alpha1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

describe.skipIf(cluster === undefined)('an Argo Rollout, its controller played by the test', () => {
  let bench: Bench;
  let admin: KubeClient;
  let isOurs = false;
  beforeAll(async () => {
    if (cluster === undefined) return;
    bench = await Bench.open(cluster, 'kube-argo');
    admin = await KubeClient.connect(await loadKubeConfig({ kubeconfig: cluster.kubeconfig }));
    isOurs = (await cluster.kubectl(['get', 'crd', CRD, '--ignore-not-found', '-o', 'name'])) === '';
  });
  afterAll(async () => {
    await admin?.close();
    if (isOurs) await cluster?.kubectl(['delete', 'crd', CRD, '--ignore-not-found']);
    await bench?.[Symbol.asyncDispose]();
  });

  const resolve = (client: KubeClient, target: string): ReturnType<typeof resolveTarget> =>
    resolveTarget(client, { target: parseTarget(target), namespace: bench.namespace.name });

  test('is told not to be there on a cluster without Argo Rollouts, for which a bare name is only not found', async () => {
    if (!isOurs) return; // somebody else's cluster has them
    await assert.rejects(resolve(bench.client, 'rollout/shop'), {
      code: 'TARGET_UNSUPPORTED',
      message: /no Argo Rollouts/,
    });
    await assert.rejects(resolve(bench.client, 'shop'), { code: 'TARGET_NOT_FOUND' });
    assert.deepEqual(await findInstalls(bench.client, bench.namespace.name), []);
  });

  test('is looked for where the cluster has the kind, and hinders nobody who has no rights for it', async () => {
    if (isOurs) await bench.cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(definition) });
    await waitFor(
      async () =>
        await bench.cluster.kubectl(['get', 'rollouts.argoproj.io', '-A', '-o', 'name']).then(
          () => true as const,
          () => undefined, // not served yet
        ),
      { timeoutMs: 30_000, onTimeout: () => new Error('rollouts are not served') },
    );
    await bench.namespace.apply([await roleWithoutRollouts()]);
    const user = `system:serviceaccount:${bench.namespace.name}:developer`;
    const question = ['auth', 'can-i', 'list', CRD, '--as', user, '--namespace', bench.namespace.name];
    await waitFor(
      async () =>
        await bench.cluster.kubectl(question).then(
          () => undefined,
          () => true as const,
        ),
      {
        timeoutMs: 30_000,
        onTimeout: () => new Error('the developer still has the right'),
      },
    );
    // discovery is asked once per client: these are new ones
    const access = await loadKubeConfig({ kubeconfig: bench.namespace.developerKubeconfig });
    await using without = await KubeClient.connect(access);
    assert.deepEqual(await findInstalls(without, bench.namespace.name), []);
    await assert.rejects(resolve(without, 'nothing'), { code: 'TARGET_NOT_FOUND' });
    await assert.rejects(resolve(without, 'rollout/shop'), { code: 'CLUSTER_FORBIDDEN' });
    await bench.namespace.apply(edit());
    await waitFor(
      async () =>
        await bench.cluster.kubectl(question).then(
          () => true as const,
          () => undefined,
        ),
      { timeoutMs: 30_000, onTimeout: () => new Error('the developer has not got the right') },
    );
    await using client = await KubeClient.connect(access);
    await assert.rejects(resolve(client, 'rollout/nothing'), { code: 'TARGET_NOT_FOUND', message: /rollout\/nothing/ });
    assert.deepEqual(await findInstalls(client, bench.namespace.name), []);
  });

  withObjects('is intercepted and put back, and a pause of its canary is told as what it is', async () => {
    await using client = await KubeClient.connect(
      await loadKubeConfig({ kubeconfig: bench.namespace.developerKubeconfig }),
    );
    // what Argo's controller has made of a Rollout of two: a ReplicaSet of its own, whose pods have its hash
    const [service, deployment] = workload({ name: 'shop', image: bench.cluster.nodeImage }) as [unknown, Workload];
    const steps = [{ setWeight: 50 }, { pause: {} }];
    await bench.namespace.apply([
      service,
      {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Rollout',
        metadata: { name: 'shop', labels: { app: 'shop' } },
        spec: { ...deployment.spec, strategy: { canary: { maxUnavailable: 1, maxSurge: 0, steps } } },
      },
    ]);
    const ref = { kind: 'Rollout', namespace: bench.namespace.name, name: 'shop' } as const;
    const read = (): Promise<Workload> => admin.get<Workload>(workloadPath(ref));
    await roll('one', await read());
    await tell({ phase: 'Healthy', currentPodHash: 'one', stableRS: 'one' });
    const before = await bench.snapshot(ref);

    for (const name of ['rollout/shop', 'shop', 'svc/shop', 'rs/shop-one']) {
      const { kind, workload: found, pods } = await resolve(client, name);
      assert.deepEqual([kind, found.metadata.name, pods.length], ['Rollout', 'shop', 2], name);
    }

    const request = { ...(await requestOf(client)), namespace: bench.namespace.name };
    const installed = await install(client, request);
    assert.deepEqual((await read()).spec.strategy?.canary, { maxUnavailable: 0, maxSurge: 1, steps });
    const waits: (string | undefined)[] = [];
    const rollout = waitForRollout(client, ref, {
      generation: installed.workload.metadata.generation,
      deadlineMs: 60_000,
      onProgress: ({ waitingFor }) => waits.push(waitingFor),
    });
    await roll('two', await read());
    const pause = { phase: 'Paused', currentStepIndex: 1, pauseConditions: [{ reason: 'CanaryPauseStep' }] };
    await tell({ ...pause, currentPodHash: 'two', stableRS: 'one' });
    await waitFor(async () => (waits.some((what) => what?.includes('paused')) ? true : undefined), {
      timeoutMs: 20_000,
      onTimeout: () => new Error(`no pause was told: ${waits.join(', ')}`),
    });
    const promote = `kubectl argo rollouts promote shop -n ${ref.namespace}`;
    assert.ok(waits.includes(`the rollout, which is paused by its canary step 2 of 2: ${promote}`), waits.join('\n'));
    await tell({
      phase: 'Healthy',
      currentPodHash: 'two',
      stableRS: 'two',
      currentStepIndex: 2,
      pauseConditions: null,
    });
    await rollout;
    await retargetService(client, ref, installed.record, 'shop');
    const [found] = await findInstalls(client, ref.namespace);
    assert.deepEqual([found?.ref, found?.install.state, found?.wanted], [ref, 'installed', 2]);

    const restored = restore(client, ref, { deadlineMs: 60_000 });
    await waitFor(async () => (hasAgent((await read()).spec.template) ? undefined : true), {
      timeoutMs: 20_000,
      onTimeout: () => new Error('the template is not put back'),
    });
    await bench.namespace.kubectl(['delete', 'replicaset', 'shop-two']);
    await tell({ phase: 'Healthy', currentPodHash: 'one', stableRS: 'one' });
    assert.equal((await restored).outcome, 'restored');
    assert.deepEqual(await bench.snapshot(ref), before);
    assert.equal(await bench.leftovers(), '');

    const half = {
      phase: 'Paused',
      currentPodHash: 'two',
      stableRS: 'one',
      pauseConditions: [{ reason: 'CanaryPauseStep' }],
    };
    await tell(half);
    await assert.rejects(requestOf(client), { code: 'TARGET_NOT_READY', message: /canary step \d of 2/ });

    /** Makes the ReplicaSet of a template, as Argo's controller would, and waits for its pods. */
    async function roll(hash: string, rollout: Workload): Promise<void> {
      const { template } = rollout.spec;
      const labels = { ...template.metadata?.labels, [HASH]: hash };
      const owner = {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Rollout',
        name: 'shop',
        uid: rollout.metadata.uid,
        controller: true,
      };
      await bench.namespace.apply({
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: { name: `shop-${hash}`, labels, ownerReferences: [owner] },
        spec: { replicas: 2, selector: { matchLabels: labels }, template: { ...template, metadata: { labels } } },
      });
      await bench.namespace.rolledOut(`replicaset/shop-${hash}`);
    }

    /** Writes the Rollout's status, as seen with its present generation. */
    async function tell(status: object): Promise<void> {
      const { generation } = (await read()).metadata;
      await admin.patch(
        `${workloadPath(ref)}/status`,
        { status: { ...status, observedGeneration: String(generation) } },
        'merge',
      );
    }
  });

  withObjects('whose template is another object’s is refused', async () => {
    await using client = await KubeClient.connect(
      await loadKubeConfig({ kubeconfig: bench.namespace.developerKubeconfig }),
    );
    await bench.namespace.apply({
      apiVersion: 'argoproj.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name: 'by-ref' },
      spec: { selector: { matchLabels: { app: 'by-ref' } }, workloadRef: { kind: 'Deployment', name: 'base' } },
    });
    await assert.rejects(resolve(client, 'rollout/by-ref'), {
      code: 'TARGET_UNSUPPORTED',
      message: /pod template from deployment\/base/,
    });
  });

  async function requestOf(client: KubeClient): ReturnType<Bench['request']> {
    return await bench.request('rollout/shop', {}, client);
  }

  function hasAgent({ spec }: PodTemplate): boolean {
    return spec.containers.some(({ name }) => name === AGENT_CONTAINER);
  }

  /** What Argo's own aggregated ClusterRoles give to `edit`. */
  /** The right to Rollouts is an optional rule. */
  async function roleWithoutRollouts(): Promise<unknown> {
    const role = await readDeveloperRole();
    return { ...role, rules: role.rules.filter(({ apiGroups }) => !apiGroups.includes('argoproj.io')) };
  }

  function edit(): unknown[] {
    const rules = [{ apiGroups: ['argoproj.io'], resources: ['rollouts'], verbs: ['get', 'list', 'watch', 'patch'] }];
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'rollouts' };
    const subjects = [{ kind: 'ServiceAccount', name: 'developer', namespace: bench.namespace.name }];
    return [
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'rollouts' }, rules },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'rollouts' },
        roleRef,
        subjects,
      },
    ];
  }
});
