import { isRecord } from '../../src/is-record.ts';
import { AGENT_CONFIG_ENV, type AgentConfig, parseAgentConfig } from '../../src/protocol/agent-config.ts';
import type { KubeObject } from '../kube/client.ts';
import { AGENT_CONTAINER } from '../kube/names.ts';
import type { InstallRecord } from '../kube/record.ts';

/** Whether a pod was made from a template with this install's agent: it mounts the install's Secret. */
export function podUsesInstall(pod: KubeObject, record: InstallRecord): boolean {
  const volumes: unknown[] = isRecord(pod.spec) && Array.isArray(pod.spec.volumes) ? pod.spec.volumes : [];
  return volumes.some(
    (volume) => isRecord(volume) && isRecord(volume.secret) && volume.secret.secretName === record.secret,
  );
}

/** The agent's configuration in a pod's spec, or undefined where the pod has no agent. */
export function agentConfig(pod: KubeObject): AgentConfig | undefined {
  const { spec } = pod;
  const containers: unknown[] = isRecord(spec) && Array.isArray(spec.containers) ? spec.containers : [];
  for (const container of containers) {
    if (!isRecord(container) || container.name !== AGENT_CONTAINER || !Array.isArray(container.env)) continue;
    const entry: unknown = container.env.find(
      (variable: unknown) => isRecord(variable) && variable.name === AGENT_CONFIG_ENV,
    );
    if (isRecord(entry) && typeof entry.value === 'string') return parseAgentConfig(entry.value);
  }
  return undefined;
}

/** The id of the pod's agent container while it runs. */
export function runningAgent(pod: KubeObject): string | undefined {
  if (agentConfig(pod) === undefined || !isRecord(pod.status) || !Array.isArray(pod.status.containerStatuses))
    return undefined;
  for (const status of pod.status.containerStatuses as unknown[]) {
    if (!isRecord(status) || status.name !== AGENT_CONTAINER || !isRecord(status.state)) continue;
    if (status.state.running !== undefined) return String(status.containerID);
  }
  return undefined;
}

/** Whether the kubelet says so, and nobody has asked for the pod's end. */
export function isReady(pod: KubeObject): boolean {
  if (!isServing(pod) || !isRecord(pod.status) || !Array.isArray(pod.status.conditions)) return false;
  return pod.status.conditions.some(
    (condition: unknown) => isRecord(condition) && condition.type === 'Ready' && condition.status === 'True',
  );
}

/** Whether nobody has asked for the pod's end. */
export function isServing(pod: KubeObject): boolean {
  return pod.metadata.deletionTimestamp === undefined;
}
