import assert from 'node:assert/strict';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import type { Container, Workload } from '../../../cli/kube/objects.ts';
import { parseAgentConfig } from '../../../src/protocol/agent-config.ts';

/** A container of the pods, an init container too. */
export function container(workload: Workload, name: string): Container {
  const { containers, initContainers = [] } = workload.spec.template.spec;
  const found = [...containers, ...initContainers].find((one) => one.name === name);
  assert.ok(found, name);
  return found;
}

/** What the workload's agent is told. */
export function configOf(workload: Workload) {
  const variable = container(workload, AGENT_CONTAINER).env?.find(({ name }) => name === 'KUBE_INTERCEPT_AGENT');
  return parseAgentConfig(variable?.value ?? '');
}
