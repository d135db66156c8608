import { pauseText } from './argo-rollouts.ts';
import type { KubeObject } from './client-types.ts';
import {
  isObserved,
  isPodReady,
  isReplacedByHand,
  type Pod,
  type Workload,
  type WorkloadKind,
  wantedPods,
} from './objects.ts';
import { controllerOf } from './owners.ts';
import { type Problem, podProblem, problemText, workloadProblem } from './reasons.ts';
import { isOfTemplate, isRolledOut } from './rollout-kinds.ts';
import { podToReplace } from './rollout-replace.ts';

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
  /**
   * Of a Deployment whose old pods are held: the new ones are to be ready, all of them. `given-up`: that was asked for and could not
   * be had; what cannot be made now can be when old pods have left.
   */
  readonly hold?: 'held' | 'given-up' | undefined;
  workload: Workload | undefined;
  readonly pods: Map<string, Pod>;
  readonly replicaSets: Map<string, ReplicaSet>;
  /** The latest problem that events told, by the uid of what they are about. */
  readonly eventProblems: Map<string, Problem>;
  /** Of a ReplicaSet: pods that were taken out of it, by uid. */
  readonly takenOut: Map<string, Pod>;
  /** Uids of pods that we have asked to leave: the watch may not have told yet. */
  readonly asked: ReadonlySet<string>;
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
  /** The pod to delete now, where the controller does not replace pods itself. */
  readonly replace: Pod | undefined;
  /** Pods that were taken out and not told to end yet. */
  readonly takenOut: readonly Pod[];
  /** Pods of the workload that were told to end and still exist: callers may reach them until the nodes' proxies know. */
  readonly leaving: readonly Pod[];
}

const REVISION = 'deployment.kubernetes.io/revision';

/** What the state means now. Pure. */
export function judgeRollout(state: RolloutState): RolloutView {
  const { workload, kind } = state;
  const wanted = workload === undefined ? 1 : wantedPods(kind, workload);
  const nothing = {
    updatedReady: 0,
    wanted,
    done: false,
    failure: undefined,
    unschedulable: [],
    stuck: [],
    replace: undefined,
    takenOut: [],
    leaving: [],
  };
  if (workload === undefined) return { ...nothing, waitingFor: undefined };
  if (!isObserved(workload, state.generation)) return { ...nothing, waitingFor: `the ${kind} controller` };

  const pods = [...state.pods.values()];
  const isLeaving = ({ metadata }: Pod): boolean =>
    metadata.deletionTimestamp !== undefined || state.asked.has(metadata.uid ?? '');
  const live = pods.filter((pod) => !isLeaving(pod));
  const leaving = pods.filter((pod) => isLeaving(pod) && isOwned(state, workload, pod));
  const replicaSet = kind === 'Deployment' ? presentReplicaSet(state, workload) : undefined;
  const isPresent = (pod: Pod): boolean => isOfTemplate(kind, workload, pod, replicaSet?.metadata.uid);
  const present = live.filter((pod) => isPresent(pod) && isOwned(state, workload, pod));
  const old = live.filter((pod) => !isPresent(pod) && isOwned(state, workload, pod) && !isSpent(kind, pod));
  const updatedReady = present.filter(isPodReady).length;
  const problems = present.flatMap((pod) => {
    const problem = podProblem(pod);
    return problem === undefined
      ? []
      : [{ pod, problem: withEvent(problem, state.eventProblems.get(pod.metadata.uid ?? '')) }];
  });
  const takenOut = [...state.takenOut.values()].filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const isUp = state.hold === 'held' ? updatedReady >= wanted : isRolledOut(kind, workload, { wanted, present, old });
  const done = isUp && takenOut.length === 0;
  const byHand = isReplacedByHand(kind, workload);
  const creation = creationProblem(state, workload, replicaSet);
  const mayCome = state.hold === 'given-up' && present.length > 0;
  const isCreationFailed = creation?.severity === 'failed' && !(mayCome && creation.reason === 'FailedCreate');
  const failed = problems.find(({ problem }) => problem.severity === 'failed');
  const failure = done ? undefined : (failed ?? (isCreationFailed ? { problem: creation, pod: undefined } : undefined));
  const [first] = [...problems].sort((a, b) => weight(b.problem) - weight(a.problem));
  return {
    updatedReady,
    wanted,
    done,
    failure,
    unschedulable: problems.filter(({ problem }) => problem.reason === 'Unschedulable').map(({ pod }) => pod),
    stuck: kind === 'StatefulSet' && !byHand ? old.filter((pod) => !isPodReady(pod)) : [],
    replace: byHand && !done ? podToReplace(kind, { wanted, present, old, leaving }) : undefined,
    takenOut,
    leaving,
    waitingFor: done
      ? undefined
      : waitingText(workload, creation, first, byHand ? [...leaving, ...takenOut] : old, updatedReady, wanted),
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
  const paused = workload.kind === 'Rollout' ? pauseText(workload) : undefined;
  if (paused !== undefined) return `the rollout, which ${paused}`;
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

/** A pod that has ended and stays for its logs; a StatefulSet makes it anew, the others leave it. */
function isSpent(kind: WorkloadKind, { status }: Pod): boolean {
  return kind !== 'StatefulSet' && (status?.phase === 'Failed' || status?.phase === 'Succeeded');
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
