import { InterceptorError } from '../../src/errors.ts';
import { isNotFound, type KubeClient, type KubeObject, resourcePath } from './client.ts';
import type { OwnerReference } from './client-types.ts';
import { isWorkloadKind, type Pod, type Workload, type WorkloadKind, workloadText } from './objects.ts';
import { onceError } from './target-name.ts';
import { workloadApiVersion, workloadPath } from './workload-kinds.ts';

/** Whom pods belong to in the end: a Deployment rather than its ReplicaSet; a pod of its own belongs to itself. */
export interface Owner {
  /** With its API group behind it where that is not the one we know: `StatefulSet.apps.kruise.io`. */
  readonly kind: string;
  readonly name: string;
  /** Where it has been read on the way. */
  readonly workload?: Workload;
}

/** The controlling owner among an object's owner references. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find(({ controller }) => controller === true);
}

/** The controlling owner as an Owner; undefined for an object that nobody controls. */
export function ownerOf(object: KubeObject): Owner | undefined {
  const controller = controllerOf(object);
  if (controller === undefined) return undefined;
  const { apiVersion, kind, name } = controller;
  const [group = ''] = apiVersion.split('/');
  // Kinds of the same name in other groups (OpenKruise's StatefulSet, …) are rolled out by other rules.
  const known = !isWorkloadKind(kind) || workloadApiVersion(kind).split('/')[0] === group;
  return { kind: known ? kind : `${kind}.${group}`, name };
}

/** The distinct owners of the pods. ReplicaSets are read, once each. @throws InterceptorError CLUSTER_* */
export async function findOwners(
  client: KubeClient,
  namespace: string,
  pods: readonly Pod[],
  signal: AbortSignal | undefined,
): Promise<Owner[]> {
  const direct = distinct(pods.map((pod): Owner => ownerOf(pod) ?? { kind: 'Pod', name: pod.metadata.name }));
  const owners = await Promise.all(
    direct.map(async (owner): Promise<Owner> => {
      if (owner.kind !== 'ReplicaSet') return owner;
      const path = workloadPath({ kind: 'ReplicaSet', namespace, name: owner.name });
      try {
        const set = await client.get<Workload>(path, { signal });
        return ownerOf(set) ?? { ...owner, workload: set };
      } catch (failure) {
        if (isNotFound(failure)) return owner;
        throw failure;
      }
    }),
  );
  return distinct(owners);
}

/**
 * The one owner, when it can be given an agent.
 * @param whose what the pods are of, for messages: `service "web"`
 * @throws InterceptorError TARGET_NOT_FOUND (none), TARGET_UNSUPPORTED
 */
export function onlyOwner(whose: string, owners: readonly Owner[]): Owner & { readonly kind: WorkloadKind } {
  const [first, ...others] = owners;
  if (first === undefined)
    throw new InterceptorError('TARGET_NOT_FOUND', `no workload has pods for ${whose}: its selector matches nothing`, {
      hint: 'check the selector of the Service against the labels of the pods',
    });
  if (others.length > 0)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `${whose} selects pods of several workloads: ${owners.map(workloadText).join(', ')}`,
      { hint: 'name a Service whose pods belong to one workload' },
    );
  const { kind } = first;
  if (isWorkloadKind(kind)) return { ...first, kind };
  if (kind === 'Job') throw onceError(`what is behind ${whose}, ${workloadText(first)},`, kind);
  const why =
    kind === 'Pod'
      ? 'a pod of its own cannot be given a container without being made anew'
      : 'its controller is not known';
  throw new InterceptorError('TARGET_UNSUPPORTED', `the pods of ${whose} belong to ${workloadText(first)}; ${why}`, {
    hint: 'intercepted are Deployments, StatefulSets, DaemonSets, ReplicaSets and Argo Rollouts',
  });
}

/**
 * Refuses a pod, naming what to intercept instead.
 * @throws InterceptorError TARGET_NOT_FOUND, TARGET_UNSUPPORTED, CLUSTER_*: always
 */
export async function refusePod(
  client: KubeClient,
  namespace: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<never> {
  const path = resourcePath({ apiVersion: 'v1', resource: 'pods', namespace, name });
  let pod: Pod;
  try {
    pod = await client.get<Pod>(path, { signal });
  } catch (cause) {
    if (!isNotFound(cause)) throw cause;
    throw new InterceptorError('TARGET_NOT_FOUND', `no pod "${name}" in namespace "${namespace}"`, {
      hint: 'name a Service or a workload; a pod cannot be given a container once it is there',
      cause,
    });
  }
  const [owner] = await findOwners(client, namespace, [pod], signal);
  if (owner?.kind === 'Job') throw onceError(`pod/${name} of ${workloadText(owner)}`, 'job');
  throw new InterceptorError('TARGET_UNSUPPORTED', `pod/${name} cannot be given a container once it is there`, {
    hint:
      owner === undefined || !isWorkloadKind(owner.kind)
        ? 'make it from a Deployment, and intercept that; to run a program beside it: intercept run -- <command>'
        : `it belongs to ${workloadText(owner)}: intercept that`,
  });
}

function distinct(owners: readonly Owner[]): Owner[] {
  return [...new Map(owners.map((owner): [string, Owner] => [`${owner.kind}/${owner.name}`, owner])).values()];
}
