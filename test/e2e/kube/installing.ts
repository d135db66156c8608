import assert from 'node:assert/strict';
import { type Installed, install } from '../../../cli/kube/apply.ts';
import { KubeClient } from '../../../cli/kube/client.ts';
import { loadKubeConfig } from '../../../cli/kube/kubeconfig.ts';
import type { WorkloadRef } from '../../../cli/kube/objects.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { choosePorts } from '../../../cli/kube/ports.ts';
import { retargetService } from '../../../cli/kube/retarget.ts';
import { waitForRollout } from '../../../cli/kube/rollout.ts';
import { parseTarget, requireInterceptable, resolveTarget } from '../../../cli/kube/target.ts';
import { readAgentCode } from '../../../cli/session/agent-code.ts';
import { type TestCluster, type TestNamespace, useCluster } from '../../support/cluster.ts';
import { POD_GONE_MS } from '../../support/test-namespace.ts';
import { type WorkloadOptions, withoutServerMetadata, workload } from '../../support/workloads.ts';

/** The cluster of these suites; where there is none, its suites are not run and say why. */
export async function clusterOrReason(): Promise<TestCluster | undefined> {
  const found = await useCluster();
  if (!('notRun' in found)) return found;
  console.warn(`not run: ${found.notRun}`);
  return undefined;
}

/** A namespace and a client with the rights of `edit` in it. */
export class Bench implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly namespace: TestNamespace;
  readonly client: KubeClient;

  private constructor(cluster: TestCluster, namespace: TestNamespace, client: KubeClient) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.client = client;
  }

  static async open(cluster: TestCluster, prefix: string): Promise<Bench> {
    const namespace = await cluster.createNamespace(prefix);
    const access = await loadKubeConfig({ kubeconfig: namespace.developerKubeconfig });
    return new Bench(cluster, namespace, await KubeClient.connect(access));
  }

  /** Applies a workload of test/support and waits for its pods. */
  async deploy(options: Omit<WorkloadOptions, 'image'>): Promise<WorkloadRef> {
    await this.namespace.apply(workload({ ...options, image: this.cluster.nodeImage }));
    const kind = options.kind ?? 'Deployment';
    await this.namespace.rolledOut(`${kind.toLowerCase()}/${options.name}`);
    return { kind, namespace: this.namespace.name, name: options.name };
  }

  async request(
    name: string,
    over: Partial<InstallRequest['agent']> = {},
    client: KubeClient = this.client,
  ): Promise<InstallRequest> {
    const { cluster, namespace } = this;
    const found = requireInterceptable(
      await resolveTarget(client, { target: parseTarget(name), namespace: namespace.name }),
    );
    return {
      namespace: namespace.name,
      kind: found.kind,
      name: found.workload.metadata.name,
      mode: { kind: 'sidecar' },
      services: found.services,
      ports: choosePorts({ ...found, through: [found.service.metadata.name], mode: { kind: 'sidecar' } }, []),
      agent: { image: cluster.nodeImage, code: await readAgentCode(), ...over },
      createdBy: { user: 'ann', host: 'laptop' },
      keepAgent: false,
    };
  }

  /** As a session does: agent in, rolled out, Service retargeted. */
  async intercept(name: string): Promise<Installed> {
    const installed = await install(this.client, await this.request(name));
    const { generation } = installed.workload.metadata;
    await waitForRollout(this.client, installed.ref, { generation, deadlineMs: POD_GONE_MS });
    await retargetService(this.client, installed.ref, installed.record, name);
    return installed;
  }

  /** Workload and Service without what the server sets. */
  async snapshot(ref: WorkloadRef, service = ref.name): Promise<unknown[]> {
    return await Promise.all(
      [`${ref.kind.toLowerCase()}/${ref.name}`, `service/${service}`].map(async (name) =>
        withoutServerMetadata(await this.namespace.get(name)),
      ),
    );
  }

  /** Names of everything of ours in the namespace, and of ReplicaSets with the agent. */
  async leftovers(): Promise<string> {
    const ours = ['get', 'configmap,secret', '-l', 'app.kubernetes.io/managed-by=kube-intercept', '-o', 'name'];
    const sets = await this.namespace.get<{ items: unknown[] }>('replicasets');
    const traces = sets.items.filter((set) => JSON.stringify(withoutServerMetadata(set)).includes('kube-intercept'));
    return `${await this.namespace.kubectl(ours)}${traces.length === 0 ? '' : `${traces.length} ReplicaSets`}`;
  }

  /** Fresh connections through the Service, all of which must be answered. @returns the answers' first words, counted */
  async call(service: string, times = 20): Promise<Record<string, number>> {
    const caller = await this.namespace.caller();
    const one = `curl -sS --max-time 5 http://${service}/`;
    const { stdout, stderr } = await caller.exec([
      'sh',
      '-c',
      `i=0; while [ $i -lt ${times} ]; do ${one} || echo failed; i=$((i+1)); done`,
    ]);
    assert.equal(stderr, '');
    const counts: Record<string, number> = {};
    for (const line of stdout.trim().split('\n')) {
      const [who = ''] = line.split(' ');
      counts[who] = (counts[who] ?? 0) + 1;
    }
    return counts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.namespace.dispose();
  }
}
