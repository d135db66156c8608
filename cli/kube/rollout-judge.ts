import type { KubeObject } from './client-types.ts';
import { isObserved, isPodReady, type Pod, type Workload, type WorkloadKind } from './objects.ts';
import { controllerOf } from './owners.ts';
import { type Problem, podProblem, problemText, workloadProblem } from './reasons.ts';

/** apps/v1 ReplicaSet, as far as we read it. */
export interface ReplicaSet extends KubeObject {
  spec: { replicas?: number; template?: { spec?: { containers?: { name: string }[] } }; [field: string]: unknown };
  status?: {
    replicas?: number;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    [field: string]: unknown;
  };
}

/** All that is known of a rollout; filled by watches. */
export interface RolloutState {
  readonly kind: WorkloadKind;
  /** The rollout is of at least this generation. */
  generation: number;
  /** A restore: refusals that concern the template being left are no reason to stop. */
  readonly restoring: boolean;
  workload: Workload | undefined;
  readonly pods: Map<string, Pod>;
  readonly replicaSets: Map<string, ReplicaSet>;
  /** The latest problem that events told, by the uid of what they are about. */
  readonly eventProblems: Map<string, Problem>;
}

export interface RolloutView {
  /** Ready pods of the present template. */
  readonly updatedReady: number;
  readonly wanted: number;
  readonly waitingFor: string | undefined;
  readonly done: boolean;
  readonly failure: { readonly problem: Problem; readonly pod: Pod | undefined } | undefined;
  /** Pods of the present template that no node has room for. */
  readonly unschedulable: readonly Pod[];
  /** Of a StatefulSet: pods of another revision that are not ready; the controller waits for them for ever. */
  readonly stuck: readonly Pod[];
  /** Pods of the workload that were told to end and still exist: callers may reach them until the nodes' proxies know. */
  readonly leaving: readonly Pod[];
}

const REVISION = 'deployment.kubernetes.io/revision';

/** What the state means now. Pure. */
export function judgeRollout(state: RolloutState): RolloutView {
  const { workload, kind } = state;
  const wanted = workload?.spec.replicas ?? 1;
  const nothing = {
    updatedReady: 0,
    wanted,
    done: false,
    failure: undefined,
    unschedulable: [],
    stuck: [],
    leaving: [],
  };
  if (workload === undefined) return { ...nothing, waitingFor: undefined };
  if (!isObserved(workload, state.generation)) return { ...nothing, waitingFor: `the ${kind} controller` };

  const pods = [...state.pods.values()];
  const live = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const replicaSet = kind === 'Deployment' ? presentReplicaSet(state, workload) : undefined;
  const isPresent = (pod: Pod): boolean =>
    kind === 'Deployment'
      ? replicaSet !== undefined && controllerOf(pod)?.uid === replicaSet.metadata.uid
      : pod.metadata.labels?.['controller-revision-hash'] === workload.status?.updateRevision;
  const present = live.filter(isPresent);
  const old = live.filter((pod) => !isPresent(pod) && isOwned(state, workload, pod));
  const updatedReady = present.filter(isPodReady).length;
  const problems = present.flatMap((pod) => {
    const problem = podProblem(pod);
    return problem === undefined
      ? []
      : [{ pod, problem: withEvent(problem, state.eventProblems.get(pod.metadata.uid ?? '')) }];
  });
  const done = kind === 'Deployment' ? isDeployed(workload, wanted) : isReplaced(workload, wanted, present, old);
  const creation = creationProblem(state, workload, replicaSet);
  const failed = problems.find(({ problem }) => problem.severity === 'failed');
  const failure = done
    ? undefined
    : (failed ?? (creation?.severity === 'failed' ? { problem: creation, pod: undefined } : undefined));
  const [first] = [...problems].sort((a, b) => weight(b.problem) - weight(a.problem));
  return {
    updatedReady,
    wanted,
    done,
    failure,
    unschedulable: problems.filter(({ problem }) => problem.reason === 'Unschedulable').map(({ pod }) => pod),
    stuck: kind === 'StatefulSet' ? old.filter((pod) => !isPodReady(pod)) : [],
    leaving: pods.filter((pod) => pod.metadata.deletionTimestamp !== undefined && isOwned(state, workload, pod)),
    waitingFor: done ? undefined : waitingText(workload, creation, first, old, updatedReady, wanted),
  };
}

function waitingText(
  workload: Workload,
  creation: Problem | undefined,
  first: { pod: Pod; problem: Problem } | undefined,
  old: readonly Pod[],
  updatedReady: number,
  wanted: number,
): string {
  if (workload.spec.paused === true) return 'the rollout is paused';
  if (creation !== undefined) return problemText(creation);
  if (first !== undefined) return problemText(first.problem, first.pod.metadata.name);
  if (updatedReady < wanted) return 'pods being created';
  const [leaving] = old;
  return leaving === undefined ? 'pods being counted' : `${leaving.metadata.name}: the old pod to leave`;
}

/** What says most first: a refusal, then anything but the ordinary steps of starting. */
function weight({ severity, reason }: Problem): number {
  if (severity === 'failed') return 2;
  return ['ContainerCreating', 'PodInitializing', 'NotReady', 'Pending'].includes(reason) ? 0 : 1;
}

/** While a container is being created, an event (FailedMount, sandbox) says why it takes so long. */
function withEvent(problem: Problem, event: Problem | undefined): Problem {
  if (event === undefined || problem.severity === 'failed') return problem;
  const silent = ['ContainerCreating', 'PodInitializing', 'Pending', 'NotReady', 'ContainersNotReady'].includes(
    problem.reason,
  );
  return silent ? event : problem;
}

function isOwned(state: RolloutState, workload: Workload, pod: Pod): boolean {
  const owner = controllerOf(pod)?.uid;
  if (owner === undefined) return false;
  return owner === workload.metadata.uid || state.replicaSets.has(owner);
}

function presentReplicaSet(state: RolloutState, workload: Workload): ReplicaSet | undefined {
  const revision = workload.metadata.annotations?.[REVISION];
  return [...state.replicaSets.values()].find(({ metadata }) => metadata.annotations?.[REVISION] === revision);
}

/** Why no pods come at all, from conditions and events. */
function creationProblem(
  state: RolloutState,
  workload: Workload,
  replicaSet: ReplicaSet | undefined,
): Problem | undefined {
  const ofWorkload = workloadProblem(workload);
  // The Deployment's ReplicaFailure may be about the ReplicaSet being left: then the present one's own word counts.
  if (ofWorkload !== undefined && (ofWorkload.reason === 'ProgressDeadlineExceeded' || !state.restoring))
    return ofWorkload;
  const condition = replicaSet?.status?.conditions?.find(
    ({ type, status }) => type === 'ReplicaFailure' && status === 'True',
  );
  if (condition !== undefined)
    return {
      severity: 'failed',
      reason: condition.reason ?? 'FailedCreate',
      message: condition.message ?? 'pods cannot be created',
      container: undefined,
      exitCode: undefined,
    };
  return (
    state.eventProblems.get(workload.metadata.uid ?? '') ?? state.eventProblems.get(replicaSet?.metadata.uid ?? '')
  );
}

function isDeployed({ status }: Workload, wanted: number): boolean {
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0 } = status ?? {};
  return updatedReplicas >= wanted && replicas <= updatedReplicas && availableReplicas >= updatedReplicas;
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

function ordinalOf({ metadata }: Pod): number {
  return Number(/-(\d+)$/.exec(metadata.name)?.[1] ?? 0);
}
