// What happens in clusters: pods and daemons end, colleagues and controllers write the same objects.
import { writeFile } from 'node:fs/promises';
import { waitFor } from '../cluster/exec.ts';
import type { TestNamespace } from '../support/cluster.ts';
import { APP_PORT } from '../support/workloads.ts';
import type { Fault, FaultContext, Objects } from './fault.ts';
import { AGENT_CONTAINER, agentProcesses, agentStatus, podsOf, restartDaemon } from './node.ts';
import { WORKLOAD } from './setting.ts';

const PROCESSES_OF_NODE = 'the processes of the node are not this machine’s';
const DAEMONS_OF_OTHERS = 'its daemons are not ours to restart';
const MARK = 'faults.test/edited';
/** Fills the memory of its container with small processes: the kernel ends the biggest one, which is the agent. */
const HOGS = `for i in $(seq 40); do (x=$(head -c 8000000 /dev/zero | tr '\\0' x); sleep 30) & done; wait`;

let edits = 0;

export const CLUSTER_FAULTS: readonly Fault[] = [
  {
    name: 'agent-kill',
    target: 'reported',
    settledBy: 'laptop',
    ownClusterOnly: PROCESSES_OF_NODE,
    inject: async ({ place }) => {
      const [agent] = await agentProcesses(place.scene, WORKLOAD);
      if (agent === undefined) throw new Error('no agent runs');
      process.kill(agent.pid, 'SIGKILL');
    },
  },
  {
    name: 'agent-oom',
    target: 'reported',
    settledBy: 'laptop',
    ownClusterOnly: PROCESSES_OF_NODE,
    inject: outOfMemory,
  },
  {
    name: 'pod-delete',
    target: 'reported',
    settledBy: 'laptop',
    inject: async ({ place: { scene }, again }) => {
      const [pod] = await podsOf(scene, WORKLOAD);
      again();
      await scene.namespace.kubectl(['delete', 'pod', pod?.metadata.name ?? '', '--wait=false']);
      await scene.namespace.rolledOut(`deployment/${WORKLOAD}`);
    },
  },
  {
    name: 'containerd-restart',
    target: 'reported',
    settledBy: 'laptop',
    ownClusterOnly: DAEMONS_OF_OTHERS,
    inject: () => restartDaemon('containerd'),
  },
  {
    name: 'apiserver-restart',
    target: 'reported',
    settledBy: 'laptop',
    ownClusterOnly: DAEMONS_OF_OTHERS,
    inject: () => restartDaemon('kube-apiserver'),
  },
  {
    name: 'rollout-restart',
    target: 'reported',
    settledBy: 'laptop',
    inject: async ({ place: { scene } }) => {
      // What `kubectl rollout restart` does, with a value that can be expected afterwards.
      const template = { metadata: { annotations: { [MARK]: String(++edits) } } };
      await patch(scene.namespace, `deployment/${WORKLOAD}`, { spec: { template } });
      await scene.namespace.rolledOut(`deployment/${WORKLOAD}`, 120_000);
    },
    expected: (before) =>
      changed(before, `deployment/${WORKLOAD}`, {
        spec: { template: { metadata: { annotations: { [MARK]: String(edits) } } } },
      }),
  },
  {
    // A colleague, or a chart, puts the Service back to its own port, and adds a label.
    name: 'service-edit',
    target: 'reported',
    settledBy: undefined,
    inject: async ({ place: { scene } }) => {
      const edit = [
        { op: 'replace', path: '/spec/ports/0/targetPort', value: APP_PORT },
        { op: 'add', path: '/metadata/labels/edited', value: String(++edits) },
      ];
      await scene.namespace.kubectl(['patch', 'service', WORKLOAD, '--type=json', '-p', JSON.stringify(edit)]);
    },
    expected: (before) => changed(before, `service/${WORKLOAD}`, { metadata: { labels: { edited: String(edits) } } }),
  },
  {
    name: 'deployment-revert',
    target: 'reported',
    settledBy: undefined,
    inject: async ({ place: { scene } }) => {
      await scene.namespace.kubectl(['rollout', 'undo', `deployment/${WORKLOAD}`]);
      await scene.namespace.rolledOut(`deployment/${WORKLOAD}`, 120_000);
    },
  },
  {
    name: 'namespace-delete',
    target: 'reported',
    settledBy: undefined,
    endsSession: true,
    takesPlace: true,
    inject: async ({ place: { scene } }) => {
      await scene.cluster.kubectl(['delete', 'namespace', scene.namespace.name, '--wait=false']);
      const isGone = async (): Promise<true | undefined> => {
        const found = ['get', 'namespace', scene.namespace.name, '--ignore-not-found', '-o', 'name'];
        return (await scene.cluster.kubectl(found)) === '' ? true : undefined;
      };
      const onTimeout = (): Error => new Error('the namespace does not go');
      await waitFor(isGone, { timeoutMs: 120_000, intervalMs: 500, onTimeout });
    },
  },
];

/** The kernel ends the agent because its container has no memory left: it is made the first to go, and then the memory is filled. */
async function outOfMemory({ place: { scene }, again, note }: FaultContext): Promise<void> {
  const [agent] = await agentProcesses(scene, WORKLOAD);
  if (agent === undefined) throw new Error('no agent runs');
  await writeFile(`/proc/${agent.pid}/oom_score_adj`, '1000');
  again();
  const fill = ['exec', agent.pod, '-c', AGENT_CONTAINER, '--', 'sh', '-c', HOGS];
  const how = await scene.namespace.kubectl(fill, { timeoutMs: 60_000 }).catch(String); // it ends with the container
  const hasEnded = async (): Promise<true | undefined> => {
    const pod = (await podsOf(scene, WORKLOAD)).find(({ metadata }) => metadata.name === agent.pod);
    const reason = pod && agentStatus(pod)?.lastState?.terminated?.reason;
    if (reason !== undefined) note(`container: ${reason}`);
    return reason === undefined ? undefined : true;
  };
  await waitFor(hasEnded, {
    timeoutMs: 30_000,
    intervalMs: 300,
    onTimeout: () => new Error(`the agent did not end: ${how}`),
  });
}

async function patch(namespace: TestNamespace, resource: string, change: unknown): Promise<void> {
  await namespace.kubectl(['patch', resource, '--type=merge', '-p', JSON.stringify(change)]);
}

function changed(objects: Objects, name: string, change: unknown): Objects {
  return { ...objects, [name]: merged(objects[name], change) };
}

/** As a merge patch does it. */
function merged(value: unknown, change: unknown): unknown {
  if (typeof change !== 'object' || change === null) return change;
  const result: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {};
  for (const [key, part] of Object.entries(change)) result[key] = merged(result[key], part);
  return result;
}
