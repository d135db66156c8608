import { isNotFound, type KubeClient, type KubeObject, resourcePath } from './client.ts';
import type { OwnerReference } from './client-types.ts';
import type { Pod, Workload } from './objects.ts';

/** Whom pods belong to in the end: a Deployment rather than its ReplicaSet; a pod of its own belongs to itself. */
export interface Owner {
  readonly kind: string;
  readonly name: string;
  /** Where it has been read on the way. */
  readonly workload?: Workload;
}

/** The controlling owner among an object's owner references. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** The distinct owners of the pods. ReplicaSets are read, once each. @throws InterceptorError CLUSTER_* */
export async function findOwners(
  client: KubeClient,
  namespace: string,
  pods: readonly Pod[],
  signal: AbortSignal | undefined,
): Promise<Owner[]> {
  const direct = distinct(pods.map((pod): Owner => controllerOf(pod) ?? { kind: 'Pod', name: pod.metadata.name }));
  const owners = await Promise.all(
    direct.map(async ({ kind, name }): Promise<Owner> => {
      if (kind !== 'ReplicaSet') return { kind, name };
      const path = resourcePath({ apiVersion: 'apps/v1', resource: 'replicasets', namespace, name });
      try {
        return controllerOf(await client.get(path, { signal })) ?? { kind, name };
      } catch (failure) {
        if (isNotFound(failure)) return { kind, name };
        throw failure;
      }
    }),
  );
  return distinct(owners);
}

function distinct(owners: readonly Owner[]): Owner[] {
  const seen = new Map(owners.map(({ kind, name }): [string, Owner] => [`${kind}/${name}`, { kind, name }]));
  return [...seen.values()];
}
