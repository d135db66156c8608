import { type KubeClient, KubeStatusError } from './client.ts';
import { AGENT_CONTAINER, INTERCEPT_ANNOTATION } from './names.ts';
import { labelSelectorText, type Workload, workloadsPath } from './objects.ts';
import { controllerOf } from './owners.ts';
import type { ReplicaSet } from './rollout-judge.ts';

/**
 * Takes our traces out of the history of a Deployment or Rollout: ReplicaSets of the template with the agent are deleted once they have no pods
 * (else `kubectl rollout undo` would bring an agent back whose objects are gone), and our annotation, which the
 * controller copies to every ReplicaSet, is taken off the others. A user without these rights leaves them; nothing fails.
 */
export async function cleanHistory(
  client: KubeClient,
  workload: Workload,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { namespace = '', uid } = workload.metadata;
  const path = workloadsPath('ReplicaSet', namespace);
  try {
    const list = await client.list<ReplicaSet>(path, {
      labelSelector: labelSelectorText(workload.spec.selector),
      signal,
    });
    const ours = list.items.filter((set) => controllerOf(set)?.uid === uid);
    await Promise.all(ours.map((set) => cleanOne(client, path, set, signal)));
  } catch (failure) {
    if (!(failure instanceof KubeStatusError)) throw failure;
  }
}

async function cleanOne(
  client: KubeClient,
  path: string,
  set: ReplicaSet,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { name, uid, resourceVersion, annotations } = set.metadata;
  const one = `${path}/${encodeURIComponent(name)}`;
  const hasAgent =
    set.spec.template?.spec?.containers?.some((container) => container.name === AGENT_CONTAINER) === true;
  if (hasAgent) {
    if ((set.spec.replicas ?? 0) > 0 || (set.status?.replicas ?? 0) > 0) return;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    await client.delete(one, { preconditions, propagationPolicy: 'Background', signal });
  } else if (annotations?.[INTERCEPT_ANNOTATION] !== undefined)
    await client.patch(one, { metadata: { annotations: { [INTERCEPT_ANNOTATION]: null } } }, 'merge', { signal });
}
