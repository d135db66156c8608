import type { ErrorCode } from '../../src/errors.ts';
import { AGENT_CONTAINER, REDIRECT_CONTAINER } from './names.ts';
import { type ContainerStatus, isObserved, type Pod, type Workload } from './objects.ts';

/** Why a pod is not ready, in the cluster's own words. `failed`: it will not get better by waiting. */
export interface Problem {
  readonly severity: 'waiting' | 'failed';
  /** The API's own word: ImagePullBackOff, Unschedulable, FailedCreate, … */
  readonly reason: string;
  readonly message: string;
  readonly container: string | undefined;
  /** Set where a finished run of the container says more than the message. */
  readonly exitCode: number | undefined;
}

const IMAGE_REASONS = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
  'RegistryUnavailable',
]);
const CONFIG_REASONS = new Set(['CreateContainerConfigError', 'CreateContainerError', 'PreCreateHookError']);
/** Of CreateContainerError: the runtime is slow or still busy with the last attempt, the kubelet tries again. */
const RUNTIME_BUSY = /context deadline exceeded|is reserved for/i;
const STARTING_REASONS = new Set(['ContainerCreating', 'PodInitializing']);

/** What keeps `pod` from being ready; undefined when it is ready or being deleted. Pure. */
export function podProblem(pod: Pod): Problem | undefined {
  if (pod.metadata.deletionTimestamp !== undefined) return undefined;
  const conditions = pod.status?.conditions ?? [];
  const isTrue = (type: string): boolean => conditions.some((c) => c.type === type && c.status === 'True');
  if (isTrue('Ready')) return undefined;
  if (pod.status?.phase === 'Failed')
    return problem('waiting', pod.status.reason ?? 'Failed', pod.status.message ?? 'the pod has failed');

  const scheduled = conditions.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False')
    return problem('waiting', scheduled.reason ?? 'Unschedulable', scheduled.message ?? 'the pod is not scheduled');

  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  // The agent first: what we brought is what the user can change.
  statuses.sort((a, b) => Number(b.name === AGENT_CONTAINER) - Number(a.name === AGENT_CONTAINER));
  const problems = statuses.flatMap((status) => containerProblem(status) ?? []);
  const worst =
    problems.find(({ severity }) => severity === 'failed') ??
    problems.find(({ reason }) => !STARTING_REASONS.has(reason) && reason !== 'NotReady') ??
    problems.find(({ reason }) => STARTING_REASONS.has(reason)) ??
    problems[0];
  if (worst !== undefined) return worst;
  const ready = conditions.find(({ type }) => type === 'Ready');
  return problem('waiting', ready?.reason ?? 'Pending', ready?.message ?? 'the pod is starting');
}

function containerProblem(status: ContainerStatus): Problem | undefined {
  if (status.ready === true) return undefined;
  const { waiting, terminated, running } = status.state ?? {};
  const last = status.lastState?.terminated;
  if (waiting !== undefined) {
    const reason = waiting.reason ?? 'Waiting';
    const message = waiting.message ?? (STARTING_REASONS.has(reason) ? 'the container is being created' : reason);
    if (reason === 'CrashLoopBackOff' && last !== undefined)
      return problem('failed', reason, exitText(last), status.name, last.exitCode);
    const definite =
      reason === 'CrashLoopBackOff' ||
      IMAGE_REASONS.has(reason) ||
      (CONFIG_REASONS.has(reason) && !RUNTIME_BUSY.test(message));
    return problem(definite ? 'failed' : 'waiting', reason, message, status.name);
  }
  if (terminated !== undefined) {
    if (terminated.exitCode === 0 && terminated.reason === 'Completed') return undefined; // an init container's end
    return problem('waiting', terminated.reason ?? 'Error', exitText(terminated), status.name, terminated.exitCode);
  }
  if (running !== undefined) {
    if (last !== undefined && (status.restartCount ?? 0) > 0)
      return problem('waiting', 'Restarted', `is not ready; before: ${exitText(last)}`, status.name, last.exitCode);
    return problem('waiting', 'NotReady', 'runs and is not ready yet', status.name);
  }
  return undefined;
}

function exitText(terminated: { exitCode: number; signal?: number; reason?: string; message?: string }): string {
  const reason = terminated.reason === undefined || terminated.reason === 'Error' ? '' : ` (${terminated.reason})`;
  const message = terminated.message?.trim();
  return `ended with exit code ${terminated.exitCode}${reason}${message === undefined || message === '' ? '' : `: ${message}`}`;
}

function problem(
  severity: Problem['severity'],
  reason: string,
  message: string,
  container?: string,
  exitCode?: number,
): Problem {
  return { severity, reason, message, container, exitCode };
}

/** What the workload's own conditions say against its rollout. Pure. */
export function workloadProblem(workload: Workload): Problem | undefined {
  if (!isObserved(workload)) return undefined; // conditions of before
  for (const condition of workload.status?.conditions ?? []) {
    if (condition.type === 'ReplicaFailure' && condition.status === 'True')
      return problem('failed', condition.reason ?? 'ReplicaFailure', condition.message ?? 'pods cannot be created');
    if (condition.type === 'Progressing' && condition.reason === 'ProgressDeadlineExceeded')
      return problem('failed', 'ProgressDeadlineExceeded', condition.message ?? 'the rollout made no progress');
    if (condition.type === 'Progressing' && condition.reason === 'RolloutAborted')
      return problem('failed', 'RolloutAborted', condition.message ?? 'Argo Rollouts has aborted the rollout');
    if (condition.type === 'InvalidSpec' && condition.status === 'True')
      return problem('failed', 'InvalidSpec', condition.message ?? 'Argo Rollouts does not accept its spec');
  }
  return undefined;
}

/** An event, core/v1, as far as we read it. */
export interface EventView {
  readonly type?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly count?: number;
  /** `fieldPath`: `spec.containers{app}` where it is about one container of the pod. */
  readonly involvedObject?: { readonly uid?: string; readonly fieldPath?: string };
}

/** The kubelet has not read a new Secret or ConfigMap yet: an ordinary step of starting, tried again within a second. */
const NOT_READ_YET = /failed to sync (secret|configmap) cache: timed out waiting for the condition/;

/**
 * What a warning event says. A refusal to create pods (quota, limit range, pod security, webhook) is definite; mounts and
 * scheduling are tried again by the cluster. It is about the pod unless the event itself names a container. Pure.
 * @returns undefined for what says nothing: no warning, or an ordinary step of starting
 */
export function eventProblem(event: EventView): Problem | undefined {
  if (event.type !== 'Warning') return undefined;
  const message = event.message ?? '';
  if (event.reason === 'FailedMount' && NOT_READ_YET.test(message)) return undefined;
  const container = /^spec\.(?:initC|c)ontainers\{(.+)\}$/.exec(event.involvedObject?.fieldPath ?? '')?.[1];
  switch (event.reason) {
    case 'FailedCreate':
      // "object is being deleted" and conflicts of a StatefulSet's pod names pass by themselves
      return problem(
        /forbidden|denied|invalid|exceeded|violates/i.test(message) ? 'failed' : 'waiting',
        'FailedCreate',
        message,
      );
    case 'FailedScheduling':
    case 'FailedMount':
    case 'FailedAttachVolume':
    case 'FailedCreatePodSandBox':
    case 'Unhealthy':
    case 'BackOff':
    case 'Evicted':
      return problem('waiting', event.reason, message, container);
    default:
      return undefined;
  }
}

/** The error code and hint of a definite problem. */
export function problemCode(found: Problem): { code: ErrorCode; hint: string | undefined } {
  const ofAgent = found.container === AGENT_CONTAINER || found.container === REDIRECT_CONTAINER;
  if (ofAgent && IMAGE_REASONS.has(found.reason))
    return {
      code: 'AGENT_IMAGE_UNAVAILABLE',
      hint: 'the cluster must be able to pull the image: name another Node image with --agent-image',
    };
  if (found.container === REDIRECT_CONTAINER)
    return {
      code: 'ROLLOUT_FAILED',
      hint: 'ports cannot be redirected here (that takes NET_ADMIN, perl in the image and nf_tables in the node): use --replace instead',
    };
  if (found.reason === 'FailedCreate' || found.reason === 'ReplicaFailure') {
    if (/NET_ADMIN|kube-intercept-redirect/.test(found.message))
      return {
        code: 'ROLLOUT_FAILED',
        hint: 'the namespace does not allow NET_ADMIN, which --capture redirect needs: use --replace instead',
      };
    return {
      code: 'ROLLOUT_FAILED',
      hint: found.message.includes('admission webhook')
        ? 'an admission webhook of the cluster decides this: ask who runs it'
        : 'the namespace refuses the pod with the agent: make room, or ask its owner',
    };
  }
  return { code: 'ROLLOUT_FAILED', hint: undefined };
}

/** One line for people: `web-1: container app: CrashLoopBackOff: ended with exit code 1`. */
export function problemText(found: Problem, pod?: string): string {
  const where = [pod, found.container === undefined ? undefined : `container ${found.container}`];
  const repeats = found.message === '' || found.message.startsWith(found.reason);
  const what = repeats ? found.message || found.reason : `${found.reason}: ${found.message}`;
  return [...where, what].filter((part) => part !== undefined).join(': ');
}
