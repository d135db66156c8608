import { ROLLOUT_HASH_LABEL } from './argo-rollouts.ts';
import { isPodReady, isReplacedByHand, type Pod, type Workload, type WorkloadKind, workloadText } from './objects.ts';
import { controllerOf } from './owners.ts';
import { hasAgentOf } from './pod-revision.ts';

/** The pods that count for a rollout, and how many there are to be. */
export interface RolloutPods {
  readonly wanted: number;
  /** Of the present template. */
  readonly present: readonly Pod[];
  /** Of another, owned by the workload and not told to end. */
  readonly old: readonly Pod[];
}

/**
 * Whether a pod is of the workload's present template.
 * @param replicaSet uid of the ReplicaSet of the present template, for a Deployment
 */
export function isOfTemplate(
  kind: WorkloadKind,
  workload: Workload,
  pod: Pod,
  replicaSet: string | undefined,
): boolean {
  const { status } = workload;
  switch (kind) {
    case 'Deployment':
      return replicaSet !== undefined && controllerOf(pod)?.uid === replicaSet;
    case 'StatefulSet':
      return isReplacedByHand(kind, workload)
        ? hasAgentOf(pod, workload)
        : pod.metadata.labels?.['controller-revision-hash'] === status?.updateRevision;
    case 'DaemonSet':
    case 'ReplicaSet':
      return hasAgentOf(pod, workload);
    case 'Rollout':
      return pod.metadata.labels?.[ROLLOUT_HASH_LABEL] === status?.currentPodHash && hasAgentOf(pod, workload);
    default:
      return kind satisfies never;
  }
}

/** Whether every wanted pod is of the present template and serves, and none of another is left that would. Pure. */
export function isRolledOut(kind: WorkloadKind, workload: Workload, pods: RolloutPods): boolean {
  const { wanted, present, old } = pods;
  const { status = {} } = workload;
  const counts = (number: number | undefined): boolean => (number ?? 0) >= wanted;
  // Counts of the status may be of before the last pods came and went.
  const isSeen = old.length === 0 && present.filter(isPodReady).length >= wanted;
  switch (kind) {
    case 'Deployment':
      return isDeployed(workload, wanted);
    case 'StatefulSet':
      return isReplacedByHand(kind, workload)
        ? isSeen && counts(status.readyReplicas)
        : isReplaced(workload, wanted, present, old);
    case 'DaemonSet': {
      const isUpdated = isReplacedByHand(kind, workload) || counts(status.updatedNumberScheduled);
      return isSeen && isUpdated && counts(status.numberReady) && counts(status.numberAvailable);
    }
    case 'ReplicaSet':
      return isSeen && counts(status.readyReplicas) && counts(status.availableReplicas);
    case 'Rollout':
      // Old pods may stay for a while after it (scaleDownDelaySeconds): the Services do not lead to them any more.
      return present.filter(isPodReady).length >= wanted && isHealthy(workload, wanted);
    default:
      return kind satisfies never;
  }
}

function isDeployed({ status }: Workload, wanted: number): boolean {
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status ?? {};
  return updatedReplicas >= wanted && replicas <= updatedReplicas && availableReplicas >= updatedReplicas;
}

/** Argo's own verdict; Argo Rollouts before 1.0 gives none, then its counts and hashes say it. */
function isHealthy({ status = {} }: Workload, wanted: number): boolean {
  const { phase, currentPodHash, stableRS, updatedReplicas = 0, availableReplicas = 0 } = status;
  if (phase !== undefined) return phase === 'Healthy';
  return currentPodHash === stableRS && updatedReplicas >= wanted && availableReplicas >= updatedReplicas;
}

/**
 * Whether a StatefulSet has replaced every pod it must. Its revisions do not tell alone: an unfinished rollout that is taken
 * back has the current revision for its update revision at once, with pods of the one being left still there.
 */
function isReplaced(workload: Workload, wanted: number, present: readonly Pod[], old: readonly Pod[]): boolean {
  const { updatedReplicas = 0, replicas = 0, readyReplicas = 0, ...status } = workload.status ?? {};
  const partition = Math.min(workload.spec.updateStrategy?.rollingUpdate?.partition ?? 0, wanted);
  const first = (workload.spec.ordinals?.start ?? 0) + partition;
  const isDue = (pod: Pod): boolean => partition === 0 || ordinalOf(pod) >= first;
  if (readyReplicas < wanted || updatedReplicas < wanted - partition || old.some(isDue)) return false;
  // The status may be of before the last pods went.
  if (present.filter((pod) => isDue(pod) && isPodReady(pod)).length < wanted - partition) return false;
  // The controller sets currentRevision when every pod is of the update revision and ready.
  return partition > 0 || (status.currentRevision === status.updateRevision && replicas === wanted);
}

/** A StatefulSet's pod's number; 0 for other names. */
export function ordinalOf({ metadata }: Pod): number {
  return Number(/-(\d+)$/.exec(metadata.name)?.[1] ?? 0);
}

/** What users hear who have a workload whose controller does not replace pods. */
export function replacedByHandText(kind: WorkloadKind, { metadata }: Workload): string {
  const name = workloadText({ kind, name: metadata.name });
  const why = kind === 'ReplicaSet' ? 'does not roll out its template' : 'has the update strategy OnDelete';
  return `${name} ${why}: its pods are deleted and made anew one at a time, going in and coming out`;
}
