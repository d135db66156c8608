import type { ChangeList } from './change-list.ts';
import {
  isReplacedByHand,
  type RollingUpdate,
  type Workload,
  type WorkloadKind,
  wantedPods,
  workloadText,
} from './objects.ts';
import { replacedByHandText } from './rollout-kinds.ts';

/**
 * Makes a rollout keep the wanted count: surge first. Only what would go below it now is changed.
 * @returns warnings about gaps that no setting avoids
 */
export function keepCountDuringRollout(kind: WorkloadKind, list: ChangeList<Workload>): string[] {
  const { spec, metadata } = list.object;
  const name = workloadText({ kind, name: metadata.name });
  const wanted = wantedPods(kind, list.object);
  const gap = (what: string): string =>
    `${name} has one ${what} and is rolled out in place: the Service has no pod for some seconds, going in and coming out`;
  if (isReplacedByHand(kind, list.object))
    return [replacedByHandText(kind, list.object), ...(wanted > 1 ? [] : [gap('pod')])];
  switch (kind) {
    case 'StatefulSet':
      // An equal current and update revision has been asked for before: then the partition holds nothing back.
      if ((spec.updateStrategy?.rollingUpdate?.partition ?? 0) > 0)
        list.set(['spec', 'updateStrategy', 'rollingUpdate', 'partition'], 0);
      return wanted > 1 ? [] : [gap('replica')];
    case 'DaemonSet':
      return keepNodes(name, wanted, list);
    case 'Deployment':
      if (spec.strategy?.type === 'Recreate')
        return [`${name} has the strategy Recreate: the Service has no pod for some seconds, going in and coming out`];
      surgeFirst(['spec', 'strategy', 'rollingUpdate'], spec.strategy?.rollingUpdate, wanted, list);
      return [];
    case 'Rollout':
      // blue-green has all new pods up before any Service leads to them
      if (spec.strategy?.canary !== undefined)
        surgeFirst(['spec', 'strategy', 'canary'], spec.strategy.canary, wanted, list);
      return [];
    case 'ReplicaSet': // replaced by hand, always
      return [];
    default:
      return kind satisfies never;
  }
}

function surgeFirst(
  path: readonly string[],
  { maxSurge = '25%', maxUnavailable = '25%' }: RollingUpdate = {},
  replicas: number,
  list: ChangeList<Workload>,
): void {
  const surge = absolute(maxSurge, replicas, Math.ceil);
  const unavailable = absolute(maxUnavailable, replicas, Math.floor);
  // The controller takes one unavailable where both come to zero.
  if (unavailable === 0 && surge > 0) return;
  list.set([...path, 'maxUnavailable'], 0);
  // "50%" of no replica is none, yet a percentage above zero is a surge as soon as there are replicas
  if (surge === 0) list.set([...path, 'maxSurge'], 1);
}

/**
 * A DaemonSet has one pod per node. From Kubernetes 1.22 on it can have the new one beside the old for a moment, unless they
 * want the same port of the node; such a server fills maxSurge in, which tells it from older ones.
 */
function keepNodes(name: string, wanted: number, list: ChangeList<Workload>): string[] {
  const { updateStrategy, template } = list.object.spec;
  const { maxSurge } = updateStrategy?.rollingUpdate ?? {};
  const hasHostPort = template.spec.containers.some(({ ports }) => ports?.some(({ hostPort }) => Number(hostPort) > 0));
  if (maxSurge !== undefined && !hasHostPort) {
    if (absolute(maxSurge, wanted, Math.ceil) > 0) return [];
    list.set(['spec', 'updateStrategy', 'rollingUpdate', 'maxUnavailable'], 0);
    list.set(['spec', 'updateStrategy', 'rollingUpdate', 'maxSurge'], 1);
    return [];
  }
  const what = wanted > 1 ? 'each node in turn is without its pod' : 'the Service has no pod';
  return [`${name} is rolled out in place: ${what} for some seconds, going in and coming out`];
}

function absolute(value: number | string, replicas: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value;
  const percent = Number.parseFloat(value);
  return Number.isFinite(percent) ? round((percent * replicas) / 100) : 0;
}
