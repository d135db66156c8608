import { AGENT_CONFIG_ENV } from '../../src/protocol/agent-config.ts';
import { AGENT_CONTAINER, CREDENTIALS_VOLUME } from './names.ts';
import type { Pod, PodSpec, Workload } from './objects.ts';

/**
 * Whether a pod is of the workload's present template as far as our agent goes: the same install with the same configuration,
 * or no agent in both. What else differs is not ours: a workload with OnDelete keeps pods of older templates on purpose.
 */
export function hasAgentOf({ spec }: Pod, { spec: { template } }: Workload): boolean {
  return agentMark(spec) === agentMark(template.spec);
}

/** The agent's Secret, which is the install's alone, and its configuration, which tells one extent of the install from another. */
function agentMark({ containers, volumes }: PodSpec): string | undefined {
  const agent = containers.find(({ name }) => name === AGENT_CONTAINER);
  if (agent === undefined) return undefined;
  const secret = volumes?.find(({ name }) => name === CREDENTIALS_VOLUME)?.secret;
  const { secretName } = (secret ?? {}) as { secretName?: string };
  return JSON.stringify([secretName, agent.env?.find(({ name }) => name === AGENT_CONFIG_ENV)?.value]);
}
