import type { ChangeList } from './change-list.ts';
import { type Workload, type WorkloadKind, workloadText } from './objects.ts';

/**
 * Makes a rollout keep the wanted count: surge first. Only what would go below it now is changed.
 * @returns warnings about gaps that no setting avoids
 */
export function keepCountDuringRollout(kind: WorkloadKind, list: ChangeList<Workload>): string[] {
  const { spec, metadata } = list.object;
  const name = workloadText({ kind, name: metadata.name });
  const replicas = spec.replicas ?? 1;
  if (kind === 'StatefulSet') {
    // An equal current and update revision has been asked for before: then the partition holds nothing back.
    if ((spec.updateStrategy?.rollingUpdate?.partition ?? 0) > 0)
      list.set(['spec', 'updateStrategy', 'rollingUpdate', 'partition'], 0);
    if (replicas > 1) return [];
    return [
      `${name} has one replica and is rolled out in place: the Service has no pod for some seconds, going in and coming out`,
    ];
  }
  if (spec.strategy?.type === 'Recreate')
    return [`${name} has the strategy Recreate: the Service has no pod for some seconds, going in and coming out`];
  const { maxSurge = '25%', maxUnavailable = '25%' } = spec.strategy?.rollingUpdate ?? {};
  const surge = absolute(maxSurge, replicas, Math.ceil);
  const unavailable = absolute(maxUnavailable, replicas, Math.floor);
  // The controller takes one unavailable where both come to zero.
  if (unavailable > 0 || surge === 0) {
    list.set(['spec', 'strategy', 'rollingUpdate', 'maxUnavailable'], 0);
    // "50%" of no replica is none, yet a percentage above zero is a surge as soon as there are replicas
    if (surge === 0) list.set(['spec', 'strategy', 'rollingUpdate', 'maxSurge'], 1);
  }
  return [];
}

function absolute(value: number | string, replicas: number, round: (n: number) => number): number {
  if (typeof value === 'number') return value;
  const percent = Number.parseFloat(value);
  return Number.isFinite(percent) ? round((percent * replicas) / 100) : 0;
}
