// The node of a cluster of test/cluster, whose processes are this machine's, too.
import { readdir, readFile } from 'node:fs/promises';
import { type Daemon, startDaemon, stopDaemon } from '../cluster/daemons.ts';
import { waitFor } from '../cluster/exec.ts';
import { readLayout } from '../cluster/layout.ts';
import { findNodeNamespace } from '../cluster/node-namespace.ts';
import { findProblem } from '../cluster/up.ts';
import type { Scene } from '../support/scene.ts';

export const AGENT_CONTAINER = 'kube-intercept-agent';

interface Pod {
  readonly metadata: {
    readonly name: string;
  };
  readonly spec: { readonly containers: readonly { readonly name: string }[] };
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID?: string;
      readonly restartCount: number;
      readonly lastState?: { readonly terminated?: { readonly reason?: string } };
    }[];
  };
}

/** Pods of a workload of the test that are not going. */
export async function podsOf(scene: Scene, workload: string): Promise<readonly Pod[]> {
  return await scene.namespace.livePods<Pod>(`${workload}-`);
}

export function agentStatus(pod: Pod) {
  return pod.status.containerStatuses?.find(({ name }) => name === AGENT_CONTAINER);
}

/** The agents' first processes as this machine knows them, with their pods. */
export async function agentProcesses(scene: Scene, workload: string): Promise<{ pod: string; pid: number }[]> {
  const pods = await podsOf(scene, workload);
  const found = await Promise.all(
    pods.map(async (pod) => {
      const id = agentStatus(pod)?.containerID?.replace(/^.*:\/\//, '');
      const pid = id === undefined ? undefined : await firstProcessOf(id);
      return pid === undefined ? [] : [{ pod: pod.metadata.name, pid }];
    }),
  );
  return found.flat();
}

/** The first process of a container: number 1 in its own namespace. */
async function firstProcessOf(containerId: string): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const cgroup = await readFile(`/proc/${name}/cgroup`, 'utf8').catch(() => ''); // it has ended
    if (!cgroup.includes(containerId)) continue;
    const status = await readFile(`/proc/${name}/status`, 'utf8').catch(() => '');
    if (/^NSpid:.*\t1$/m.test(status)) return Number(name);
  }
  return undefined;
}

/** Stops a daemon of the cluster, starts it again, and waits until the cluster can be used. */
export async function restartDaemon(name: Daemon): Promise<void> {
  const layout = readLayout();
  const node = await findNodeNamespace(layout);
  if (node === undefined) throw new Error('the cluster is not up');
  await stopDaemon(layout, name);
  await startDaemon(layout, node, name);
  let problem: string | undefined;
  const isUsable = async (): Promise<true | undefined> => {
    problem = await findProblem(layout);
    return problem === undefined ? true : undefined;
  };
  await waitFor(isUsable, { timeoutMs: 120_000, intervalMs: 250, onTimeout: () => new Error(`${name}: ${problem}`) });
}
