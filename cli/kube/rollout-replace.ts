import { isPodReady, type Pod, type WorkloadKind } from './objects.ts';
import { ordinalOf, type RolloutPods } from './rollout-kinds.ts';

/** What decides which pod is replaced next. */
export interface Replaceable extends RolloutPods {
  /** Told to end and still there. */
  readonly leaving: readonly Pod[];
}

/**
 * The old pod to delete now, where the workload's controller leaves that to others: one that does not serve anyway, else one as
 * soon as none is missing, so that never two are. Everybody who looks at the same pods picks the same one: an install and a
 * restore, or two sessions, may be at it at once. Pure.
 * @returns undefined: nothing is old, or the successor of the last one is not ready yet
 */
export function podToReplace(kind: WorkloadKind, pods: Replaceable): Pod | undefined {
  const { wanted, present, old, leaving } = pods;
  // Its successor has its name, or its place on the node, and comes when it is gone; a ReplicaSet makes one at once.
  if (leaving.length > 0 && kind !== 'ReplicaSet') return undefined;
  if (!present.every(isPodReady)) return undefined;
  const [idle] = inOrder(
    kind,
    old.filter((pod) => !isPodReady(pod)),
  );
  if (idle !== undefined) return idle;
  return present.length + old.length < wanted ? undefined : inOrder(kind, old)[0];
}

/** A StatefulSet's from the last to the first, as its own controller would; others by name. */
function inOrder(kind: WorkloadKind, pods: readonly Pod[]): Pod[] {
  const byName = (a: Pod, b: Pod): number => a.metadata.name.localeCompare(b.metadata.name);
  return [...pods].sort(kind === 'StatefulSet' ? (a, b) => ordinalOf(b) - ordinalOf(a) : byName);
}
