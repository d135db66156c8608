import { InterceptorError } from '../../src/errors.ts';
import { originalWorkload } from './annotation.ts';
import { hasRollouts, noRollouts, requireOwnTemplate } from './argo-rollouts.ts';
import { isNotFound, type KubeClient, type KubeList, KubeStatusError, resourcePath } from './client.ts';
import { nearNames } from './near-names.ts';
import {
  isWorkloadKind,
  labelSelectorText,
  matchesLabels,
  type Pod,
  type Service,
  selectorText,
  type Workload,
  type WorkloadKind,
  workloadPath,
  workloadText,
} from './objects.ts';
import { findOwners, type Owner, onlyOwner, ownerOf, refusePod } from './owners.ts';
import { chooseService, plainSelector, servicesOf } from './services-of.ts';
import type { TargetName } from './target-name.ts';
import { WORKLOAD_KINDS, workloadsPath } from './workload-kinds.ts';

export { requireInterceptable, requireJoinable } from './interceptable.ts';
export { chooseService } from './services-of.ts';
export { parseTarget, type TargetName } from './target-name.ts';

/** A target with the objects behind it, raw as read. */
export interface ResolvedTarget {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly workload: Workload;
  /** The one that is meant; undefined only for a workload target that no Service selects. */
  readonly service: Service | undefined;
  /** All that select the workload's pods, headless ones and `service` among them; none where they are not looked for. */
  readonly services: readonly Service[];
  /** The workload's pods (of all revisions), ready or not. */
  readonly pods: readonly Pod[];
}

export interface ResolveOptions {
  readonly target: TargetName;
  readonly namespace: string;
  /** The --service options: which Services of a workload target; the first becomes `service`. */
  readonly service?: string | readonly string[] | undefined;
  /** The workload alone matters: none of its Services is looked for. */
  readonly withoutService?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds Services and workload. Does not judge whether they can be intercepted now: see requireInterceptable().
 * @throws InterceptorError TARGET_NOT_FOUND, TARGET_UNSUPPORTED, USAGE_BAD_OPTION (several Services), CLUSTER_*
 */
export async function resolveTarget(client: KubeClient, options: ResolveOptions): Promise<ResolvedTarget> {
  const { target, namespace, signal } = options;
  if (target.kind === 'pod') return await refusePod(client, namespace, target.name, signal);
  if (isWorkloadKind(target.kind)) {
    if (target.kind === 'Rollout' && !(await hasRollouts(client, signal))) throw noRollouts(target.name);
    const workload = await getWorkload(client, options, target.kind, target.name);
    if (workload === undefined)
      throw await notFound(client, options, workloadText({ kind: target.kind, name: target.name }));
    return resolveOwned(client, options, target.kind, workload);
  }
  const service = await getOrUndefined<Service>(
    client,
    options,
    resourcePath({ apiVersion: 'v1', resource: 'services', namespace, name: target.name }),
  );
  if (service !== undefined) {
    const [other] = [options.service ?? []].flat().filter((name) => name !== target.name);
    if (other !== undefined)
      throw new InterceptorError(
        'USAGE_BAD_OPTION',
        `--service ${other} does not go with svc/${target.name}: the target is a Service itself`,
        { hint: `name the workload: deploy/${target.name} --service ${other}, or leave --service out` },
      );
    return resolveService(client, options, service);
  }
  if (target.kind === 'any') {
    const found = await Promise.all(WORKLOAD_KINDS.map((kind) => workloadIfAny(client, options, kind)));
    const index = found.findIndex((workload) => workload !== undefined);
    const [kind, workload] = [WORKLOAD_KINDS[index], found[index]];
    if (kind !== undefined && workload !== undefined) return resolveOwned(client, options, kind, workload);
  }
  const what = target.kind === 'any' ? `workload or service named "${target.name}"` : `service "${target.name}"`;
  throw await notFound(client, options, what);
}

/** A ReplicaSet of a Deployment or Rollout stands for that: its template is theirs. */
async function resolveOwned(
  client: KubeClient,
  options: ResolveOptions,
  kind: WorkloadKind,
  workload: Workload,
): Promise<ResolvedTarget> {
  const owner = kind === 'ReplicaSet' ? ownerOf(workload) : undefined;
  if (owner === undefined) return resolveWorkload(client, options, kind, workload);
  const above = onlyOwner(workloadText({ kind, name: workload.metadata.name }), [owner]);
  return resolveWorkload(client, options, above.kind, await readOwner(client, options, above, workload.metadata.name));
}

async function readOwner(
  client: KubeClient,
  options: ResolveOptions,
  owner: Owner & { readonly kind: WorkloadKind },
  whose: string,
): Promise<Workload> {
  const workload = owner.workload ?? (await getWorkload(client, options, owner.kind, owner.name));
  if (workload !== undefined) return workload;
  throw new InterceptorError('TARGET_NOT_FOUND', `${workloadText(owner)}, which owns the pods of ${whose}, is gone`);
}

/** @param listed all Services of the namespace, where they have been read */
async function resolveService(
  client: KubeClient,
  options: ResolveOptions,
  service: Service,
  listed?: readonly Service[],
): Promise<ResolvedTarget> {
  const { namespace, signal } = options;
  const name = `service "${service.metadata.name}"`;
  const selector = selectorOf(name, service);
  const [pods, services] = await Promise.all([
    listAll<Pod>(client, options, 'pods', selectorText(selector)),
    listed ?? listAll<Service>(client, options, 'services'),
  ]);
  // A pod that is being deleted may be the last of a ReplicaSet that is gone: it does not tell whose the next ones are.
  const live = pods.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed',
  );
  const owners =
    live.length > 0
      ? await findOwners(client, namespace, live, signal)
      : await ownersByTemplate(client, options, plainSelector(selector));
  const owner = onlyOwner(name, owners);
  const workload = await readOwner(client, options, owner, name);
  if (owner.kind === 'Rollout') requireOwnTemplate(workload);
  const others = servicesOf(services, originalWorkload(workload).spec.template.metadata?.labels);
  const all = [service, ...others.filter(({ metadata }) => metadata.name !== service.metadata.name)];
  return { namespace, kind: owner.kind, workload, service, services: all, pods: live };
}

/** @throws InterceptorError TARGET_UNSUPPORTED for a Service without pods of a workload */
function selectorOf(name: string, { spec }: Service): Record<string, string> {
  const selector = spec.selector ?? {};
  const why =
    spec.type === 'ExternalName'
      ? `is an ExternalName: it has no pods, only the name ${String(spec.externalName)}`
      : 'has no selector: its endpoints are not pods of a workload';
  if (spec.type !== 'ExternalName' && Object.keys(selector).length > 0) return selector;
  throw new InterceptorError('TARGET_UNSUPPORTED', `${name} ${why}`, { hint: 'intercept a Service with a selector' });
}

/** The workloads whose pods would be selected: for a Service that has no pods now (scaled to 0). */
async function ownersByTemplate(
  client: KubeClient,
  options: ResolveOptions,
  selector: Readonly<Record<string, string>>,
): Promise<Owner[]> {
  const lists = await Promise.all(
    WORKLOAD_KINDS.map(async (kind) => {
      const path = workloadsPath(kind, options.namespace);
      const { items } = (await ifAllowed(kind, () => client.list<Workload>(path, { signal: options.signal }))) ?? {
        items: [],
      };
      return items
        .filter((workload) => kind !== 'ReplicaSet' || ownerOf(workload) === undefined)
        .filter(({ spec }) => matchesLabels(selector, spec.template?.metadata?.labels))
        .map((workload): Owner => ({ kind, name: workload.metadata.name, workload }));
    }),
  );
  return lists.flat();
}

async function resolveWorkload(
  client: KubeClient,
  options: ResolveOptions,
  kind: WorkloadKind,
  workload: Workload,
): Promise<ResolvedTarget> {
  if (kind === 'Rollout') requireOwnTemplate(workload);
  const { namespace } = options;
  const { spec, metadata } = originalWorkload(workload);
  const listed = options.withoutService === true ? [] : await listAll<Service>(client, options, 'services');
  const services = servicesOf(listed, spec.template.metadata?.labels);
  const name = workloadText({ kind, name: metadata.name });
  const main = spec.strategy?.blueGreen?.activeService ?? spec.strategy?.canary?.stableService;
  const service = chooseService(name, services, options.service, main);
  if (service !== undefined) {
    const resolved = await resolveService(client, options, service, listed);
    if (resolved.workload.metadata.uid === metadata.uid) return resolved;
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `the pods of service "${service.metadata.name}" belong to ${workloadText({ kind: resolved.kind, name: resolved.workload.metadata.name })}`,
      { hint: `check the selectors: ${name} has the labels, and not the pods` },
    );
  }
  const pods = await listAll<Pod>(client, options, 'pods', labelSelectorText(spec.selector));
  return { namespace, kind, workload, service: undefined, services: [], pods };
}

async function notFound(client: KubeClient, options: ResolveOptions, what: string): Promise<InterceptorError> {
  const { namespace, target } = options;
  let names: string[] = [];
  if (!(await namespaceMayExist(client, options))) return noSuchNamespace(namespace);
  try {
    const path = isWorkloadKind(target.kind)
      ? workloadsPath(target.kind, namespace)
      : resourcePath({ apiVersion: 'v1', resource: 'services', namespace });
    names = (await client.list(path, { signal: options.signal })).items.map(({ metadata }) => metadata.name);
  } catch (failure) {
    // only for the hint: a user who may not list still gets the answer to what was asked
    options.signal?.throwIfAborted();
    if (!(failure instanceof InterceptorError)) throw failure;
  }
  const near = nearNames(target.name, names);
  const other = 'other namespaces are not searched (-n <namespace>)';
  return new InterceptorError('TARGET_NOT_FOUND', `no ${what} in namespace "${namespace}"`, {
    hint: near.length > 0 ? `did you mean ${near.join(', ')}? ${other}` : other,
  });
}

/** What is told where namespaceMayExist() says no. */
export function noSuchNamespace(namespace: string): InterceptorError {
  return new InterceptorError('TARGET_NOT_FOUND', `namespace "${namespace}" does not exist`, {
    hint: 'choose another with -n <namespace>; kubectl get namespaces lists them',
  });
}

/** False only where the server says that there is none; not everybody may ask. */
export async function namespaceMayExist(
  client: KubeClient,
  { namespace, signal }: Pick<ResolveOptions, 'namespace' | 'signal'>,
): Promise<boolean> {
  try {
    await client.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`, { signal });
    return true;
  } catch (failure) {
    signal?.throwIfAborted();
    if (failure instanceof InterceptorError) return !isNotFound(failure);
    throw failure;
  }
}

/** For a bare name: the workload of this kind, or undefined where there is none. */
async function workloadIfAny(
  client: KubeClient,
  options: ResolveOptions,
  kind: WorkloadKind,
): Promise<Workload | undefined> {
  return await ifAllowed(kind, () => getWorkload(client, options, kind, options.target.name));
}

/**
 * Looks among workloads of a kind that the user may have no rights for, or the cluster may not have. Only who may not even
 * read Deployments or StatefulSets hears of it.
 * @returns undefined where it is refused
 */
export async function ifAllowed<T>(kind: WorkloadKind, look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (failure) {
    const isCommon = kind === 'Deployment' || kind === 'StatefulSet';
    if (isCommon || !(failure instanceof KubeStatusError) || (failure.status !== 403 && failure.status !== 404))
      throw failure;
    return undefined;
  }
}

function getWorkload(
  client: KubeClient,
  options: ResolveOptions,
  kind: WorkloadKind,
  name: string,
): Promise<Workload | undefined> {
  return getOrUndefined<Workload>(client, options, workloadPath({ kind, namespace: options.namespace, name }));
}

async function getOrUndefined<T extends Workload | Service>(
  client: KubeClient,
  { signal }: ResolveOptions,
  path: string,
): Promise<T | undefined> {
  try {
    return await client.get<T>(path, { signal });
  } catch (failure) {
    if (isNotFound(failure)) return undefined;
    throw failure;
  }
}

async function listAll<T extends KubeList['items'][number]>(
  client: KubeClient,
  { namespace, signal }: ResolveOptions,
  resource: 'pods' | 'services',
  labelSelector?: string,
): Promise<T[]> {
  const path = resourcePath({ apiVersion: 'v1', resource, namespace });
  return (await client.list<T>(path, { signal, labelSelector })).items;
}
