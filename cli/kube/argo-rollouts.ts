import { InterceptorError } from '../../src/errors.ts';
import { isNotFound, type KubeClient } from './client.ts';
import type { Workload } from './objects.ts';

/** Argo puts it on a Rollout's pods and ReplicaSets, and into the selectors of the Services that it switches. */
export const ROLLOUT_HASH_LABEL = 'rollouts-pod-template-hash';

/** Per client, that is per cluster and command: whether it has Argo Rollouts. */
const known = new WeakMap<KubeClient, Promise<boolean>>();

/**
 * Whether the cluster has Argo Rollouts, asked once per client.
 * @throws InterceptorError CLUSTER_*
 */
export async function hasRollouts(client: KubeClient, signal?: AbortSignal): Promise<boolean> {
  const asked = known.get(client) ?? discover(client, signal);
  known.set(client, asked);
  try {
    return await asked;
  } catch (failure) {
    known.delete(client); // this one was cut off or lost; the next call asks again
    throw failure;
  }
}

async function discover(client: KubeClient, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const { resources } = await client.get<{ metadata: never; resources?: { name?: string }[] }>(
      '/apis/argoproj.io/v1alpha1',
      { signal },
    );
    return resources?.some(({ name }) => name === 'rollouts') === true;
  } catch (failure) {
    if (isNotFound(failure)) return false;
    throw failure;
  }
}

/** What a user hears who names a Rollout where there are none. */
export function noRollouts(name: string): InterceptorError {
  return new InterceptorError(
    'TARGET_UNSUPPORTED',
    `rollout/${name} cannot be found: the cluster has no Argo Rollouts (argoproj.io/v1alpha1 is not served)`,
    { hint: `name what it is here: ${name}, deploy/${name}, sts/${name}` },
  );
}

/**
 * Refuses a Rollout whose template is another object's.
 * @throws InterceptorError TARGET_UNSUPPORTED
 */
export function requireOwnTemplate(rollout: Workload): void {
  const { workloadRef } = rollout.spec as { workloadRef?: { kind?: string; name?: string } };
  if (workloadRef === undefined) return;
  const { name } = rollout.metadata;
  const from = `${(workloadRef.kind ?? 'workload').toLowerCase()}/${workloadRef.name ?? ''}`;
  throw new InterceptorError(
    'TARGET_UNSUPPORTED',
    `rollout/${name} has its pod template from ${from} (spec.workloadRef): a change there concerns both`,
    { hint: `give rollout/${name} a spec.template of its own, or intercept a copy of it as a Deployment` },
  );
}

/** A rollout that has not come to its end, in Argo's own words; undefined when the present template is all there is. */
export function unfinished({ metadata, spec, status }: Workload): string | undefined {
  const { currentPodHash, stableRS } = status ?? {};
  if (currentPodHash === stableRS || stableRS === undefined || stableRS === '') return undefined;
  return pauseText({ metadata, spec, ...(status === undefined ? {} : { status }) }) ?? 'is between two templates';
}

/** What a Rollout is paused by, with what goes on from there; undefined when it is not paused. */
export function pauseText({ metadata, spec, status }: Workload): string | undefined {
  const promote = `kubectl argo rollouts promote ${metadata.name} -n ${metadata.namespace ?? 'default'}`;
  if (spec.paused === true) return `is paused (spec.paused): ${promote}`;
  const { pauseConditions } = (status ?? {}) as { pauseConditions?: { reason?: string }[] };
  const reason = pauseConditions?.[0]?.reason;
  if (reason === undefined) return undefined;
  if (reason === 'BlueGreenPause') return `is paused before its blue-green promotion: ${promote}`;
  if (reason !== 'CanaryPauseStep') return `is paused (${reason}): ${promote}`;
  const step = Number(status?.currentStepIndex ?? 0) + 1;
  return `is paused by its canary step ${step} of ${spec.strategy?.canary?.steps?.length ?? step}: ${promote}`;
}
