import { InterceptorError } from '../../src/errors.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { type KubeClient, type KubeObject, KubeStatusError } from './client.ts';
import { corePath } from './guarded-patch.ts';
import type { Pod } from './objects.ts';
import { type EventView, eventProblem, type Problem, podProblem, problemCode, problemText } from './reasons.ts';
import { DEFAULT_ROLLOUT_DEADLINE_MS } from './rollout.ts';
import { UNSCHEDULABLE_FAILS_AFTER_MS } from './rollout-unschedulable.ts';
import { watch } from './watch.ts';

/** The pod's own Secret and ConfigMap are created behind it, and found at the kubelet's next look. */
const OWN_OBJECT_MISSING = /(secret|configmap) "kube-intercept-[^"]*" not found/;

type KubeEvent = KubeObject & EventView;

export interface OwnPodWait {
  readonly signal: AbortSignal;
  /** On every change: what is waited for, in the cluster's own words. */
  readonly onProgress: (waitingFor: string) => void;
}

/**
 * Waits until the pod's agent runs.
 * @throws InterceptorError AGENT_IMAGE_UNAVAILABLE, ROLLOUT_FAILED with the cluster's reason, TARGET_NOT_FOUND when the pod is
 *   deleted meanwhile, CLUSTER_*; the signal's reason
 */
export async function untilOwnPodRuns(client: KubeClient, pod: Pod, { signal, onProgress }: OwnPodWait): Promise<void> {
  const { name, namespace = '', uid } = pod.metadata;
  const over = new AbortController();
  const tasks = new TaskGroup();
  const settled = deferred();
  let told = '';
  let current = pod;
  let mounting: Problem | undefined;
  let unschedulableMs: number | undefined;
  const judge = (): void => {
    const found = podProblem(current);
    const problem = mounting !== undefined && isStarting(found) ? mounting : found;
    unschedulableMs = problem?.reason === 'Unschedulable' ? (unschedulableMs ?? performance.now()) : undefined;
    const tooFull = unschedulableMs !== undefined && performance.now() - unschedulableMs > UNSCHEDULABLE_FAILS_AFTER_MS;
    if (runs(current)) settled.resolve();
    else if (problem === undefined) return;
    else if (problem.severity === 'failed' || tooFull || current.status?.phase === 'Failed')
      settled.reject(failureOf(current, problem));
    else {
      const text = problemText(problem, name);
      if (text !== told) onProgress(text);
      told = text;
    }
  };
  const onAbort = (): void => settled.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const clock = setInterval(judge, 1_000);
  const deadline = setTimeout(() => settled.reject(tooLong(current, told)), DEFAULT_ROLLOUT_DEADLINE_MS);
  const ofPod = { fieldSelector: `metadata.name=${name}`, signal: over.signal };
  const followPod = async (): Promise<void> => {
    for await (const event of watch<Pod>(client, corePath('pods', namespace), ofPod)) {
      if (event.type === 'SYNC') continue;
      if (event.type === 'DELETED') settled.reject(deleted(event.object));
      else current = event.object;
      judge();
    }
  };
  const followEvents = async (): Promise<void> => {
    const fieldSelector = `involvedObject.uid=${uid ?? ''},type=Warning`;
    const path = corePath('events', namespace);
    for await (const event of watch<KubeEvent>(client, path, { fieldSelector, signal: over.signal })) {
      if (event.type === 'SYNC' || event.type === 'DELETED') continue;
      if (OWN_OBJECT_MISSING.test(event.object.message ?? '')) continue;
      mounting = eventProblem(event.object) ?? mounting;
      judge();
    }
  };
  tasks.add(followPod().catch((failure: unknown) => settled.reject(failure)));
  tasks.add(
    followEvents().catch((failure: unknown) => {
      if (!(failure instanceof KubeStatusError)) settled.reject(failure); // a user who may not read events waits all the same
    }),
  );
  try {
    await settled.promise;
  } finally {
    clearInterval(clock);
    clearTimeout(deadline);
    signal.removeEventListener('abort', onAbort);
    over.abort();
    await tasks.close();
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (reason: unknown) => void } {
  let resolve = (): void => {};
  let reject = (_reason: unknown): void => {};
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

function runs(pod: Pod): boolean {
  return (pod.status?.containerStatuses ?? []).some(({ state }) => state?.running !== undefined);
}

/** The pod's status says no more than that its container is being made. */
function isStarting(found: Problem | undefined): boolean {
  return found === undefined || found.reason === 'ContainerCreating' || found.reason === 'Pending';
}

function failureOf({ metadata, spec }: Pod, problem: Problem): InterceptorError {
  const { code, hint } = problemCode(problem);
  const image = spec.containers[0]?.image ?? '';
  const text =
    code === 'AGENT_IMAGE_UNAVAILABLE'
      ? `the agent's image "${image}" cannot be pulled: ${problem.message}`
      : `pod/${metadata.name} does not start: ${problemText(problem)}`;
  const see = `kubectl get events -n ${metadata.namespace ?? ''} tells more`;
  return new InterceptorError(code, text, { hint: hint ?? see });
}

function tooLong({ metadata }: Pod, waitingFor: string): InterceptorError {
  const afterS = DEFAULT_ROLLOUT_DEADLINE_MS / 1000;
  return new InterceptorError('ROLLOUT_FAILED', `pod/${metadata.name} does not run after ${afterS} s: ${waitingFor}`);
}

function deleted({ metadata }: Pod): InterceptorError {
  return new InterceptorError('TARGET_NOT_FOUND', `pod/${metadata.name} was deleted while it started`);
}
