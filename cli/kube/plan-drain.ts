import { DRAIN_MAX_MS, DRAIN_PATH } from '../../src/protocol/agent-config.ts';
import type { ChangeList } from './change-list.ts';
import { AGENT_CONTAINER } from './names.ts';
import { isReplacedByHand, type Workload, type WorkloadKind, wantedPods } from './objects.ts';
import { containerPath } from './plan-ports.ts';
import type { InstallMode } from './record.ts';

const GRACE = ['spec', 'template', 'spec', 'terminationGracePeriodSeconds'] as const;
const DEFAULT_GRACE_SECONDS = 30;

/**
 * Whether a pod that ends has others beside it that answer: only then it gains anything that its app goes on for a while. Where
 * there is none (one pod rolled out in place, Recreate) its successor would come later by that; and a ReplicaSet's pods are out of
 * their Services before they are told. Pure.
 */
export function endsBesideOthers(kind: WorkloadKind, mode: InstallMode, workload: Workload): boolean {
  if (mode.kind === 'replace') return false; // no app that could answer
  switch (kind) {
    case 'Deployment':
      return workload.spec.strategy?.type !== 'Recreate';
    case 'Rollout':
      return true;
    case 'ReplicaSet':
      return false;
    case 'StatefulSet':
      return wantedPods(kind, workload) > 1;
    case 'DaemonSet': {
      const { maxSurge = 0 } = workload.spec.updateStrategy?.rollingUpdate ?? {};
      const surges = !isReplacedByHand(kind, workload) && Number.parseFloat(String(maxSurge)) > 0;
      return surges || wantedPods(kind, workload) > 1;
    }
    default:
      return kind satisfies never;
  }
}

/**
 * Gives every container of others that has no preStop hook one that the agent answers when callers have heard that the pod goes, and
 * the pods that much more time to end: what an app has for its own end stays what it was.
 */
export function drainBeforeStop(list: ChangeList<Workload>, drainPort: number): void {
  const httpGet = { path: DRAIN_PATH, port: drainPort, scheme: 'HTTP' };
  let isAny = false;
  for (const container of list.object.spec.template.spec.containers) {
    if (container.name === AGENT_CONTAINER || container.lifecycle?.preStop !== undefined) continue;
    list.set([...containerPath(list.object.spec.template, container), 'lifecycle', 'preStop'], { httpGet });
    isAny = true;
  }
  if (!isAny) return;
  const { terminationGracePeriodSeconds = DEFAULT_GRACE_SECONDS } = list.object.spec.template.spec;
  list.set(GRACE, Number(terminationGracePeriodSeconds) + DRAIN_MAX_MS / 1000);
}
