import { InterceptorError } from '../../src/errors.ts';
import { applyChanges } from './changes.ts';
import { isNotFound, type KubeClient, KubeStatusError } from './client.ts';
import { corePath, guardedPatch } from './guarded-patch.ts';
import { TAKEN_OUT_ANNOTATION, TAKEN_OUT_LABEL } from './names.ts';
import {
  type LabelSelector,
  matchesLabels,
  matchesSelector,
  type Pod,
  type Service,
  type Workload,
} from './objects.ts';

/**
 * A pod that was taken out goes on answering for so long before it is told to end: callers are sent to it until every node's proxy
 * has heard. With 1 s a busy node of two cores still sends some to a pod that is gone.
 */
export const CALLERS_HEAR_MS = 5_000;

/** Selects the pods that were taken out of a ReplicaSet, which does not select them any more. */
export function takenOutSelector({ metadata }: Workload): string {
  return `${TAKEN_OUT_LABEL}=${metadata.uid ?? ''}`;
}

/**
 * The labels of a pod that neither its ReplicaSet nor any of the Services selects: as few as possible are left out. Pure.
 * @returns undefined where leaving labels out does not do it (a selector of what a pod must not have)
 */
export function labelsTakenOut(
  labels: Readonly<Record<string, string>>,
  selector: LabelSelector | undefined,
  services: readonly Service[],
): Record<string, string> | undefined {
  const left = { ...labels };
  const selectors = [
    (have: typeof left) => matchesSelector(selector, have),
    ...services.map((service) => (have: typeof left) => matchesLabels(service.spec.selector, have)),
  ];
  const selecting = (have: typeof left): number => selectors.filter((selects) => selects(have)).length;
  for (let before = selecting(left); before > 0; before = selecting(left)) {
    const without = (key: string): typeof left => Object.fromEntries(Object.entries(left).filter(([k]) => k !== key));
    const [best] = Object.keys(left)
      .map((key) => ({ key, count: selecting(without(key)) }))
      .sort((a, b) => a.count - b.count || a.key.localeCompare(b.key));
    if (best === undefined || best.count >= before) return undefined;
    delete left[best.key];
  }
  return left;
}

/**
 * Takes a pod out of its ReplicaSet, which makes a successor at once, and out of all Services; it goes on running, and carries
 * the ReplicaSet's uid and name, by which whoever restores finds and deletes it.
 * @returns false where that cannot be done: it is to be deleted at once, then
 * @throws InterceptorError CLUSTER_*
 */
export async function takeOutPod(client: KubeClient, pod: Pod, { metadata, spec }: Workload): Promise<boolean> {
  const { name, namespace = '', uid } = pod.metadata;
  try {
    const services = await client.list<Service>(corePath('services', namespace));
    let isPossible = true;
    await guardedPatch<Pod>(client, corePath('pods', namespace, name), (current) => {
      if (current.metadata.uid !== uid || current.metadata.deletionTimestamp !== undefined) return undefined;
      if (current.metadata.labels?.[TAKEN_OUT_LABEL] !== undefined) return undefined;
      const labels = labelsTakenOut(current.metadata.labels ?? {}, spec.selector, services.items);
      isPossible = labels !== undefined;
      if (labels === undefined) return undefined;
      return applyChanges(current, [
        { path: ['metadata', 'labels'], now: { ...labels, [TAKEN_OUT_LABEL]: metadata.uid ?? '' } },
        { path: ['metadata', 'annotations', TAKEN_OUT_ANNOTATION], now: metadata.name },
      ]);
    });
    return isPossible;
  } catch (failure) {
    // no right to patch pods, or somebody keeps changing it: deleting is what is left
    if (failure instanceof KubeStatusError) return false;
    if (failure instanceof InterceptorError && failure.code === 'CLUSTER_CONFLICT') return false;
    throw failure;
  }
}

/** Deletes the pods that were taken out of a ReplicaSet that does not exist any more. @throws InterceptorError CLUSTER_* */
export async function deleteTakenOut(
  client: KubeClient,
  namespace: string,
  replicaSet: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const pods = await client.list<Pod>(corePath('pods', namespace), { labelSelector: TAKEN_OUT_LABEL, signal });
  for (const { metadata } of pods.items) {
    if (metadata.annotations?.[TAKEN_OUT_ANNOTATION] !== replicaSet || metadata.deletionTimestamp !== undefined)
      continue;
    const { name, uid } = metadata;
    try {
      await client.delete(corePath('pods', namespace, name), {
        signal,
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      });
    } catch (failure) {
      if (!isNotFound(failure) && !(failure instanceof KubeStatusError && failure.status === 409)) throw failure;
    }
  }
}
