import { InterceptorError } from '../../src/errors.ts';
import { originalWorkload } from './annotation.ts';
import { isNotFound, type KubeClient, type KubeList, resourcePath } from './client.ts';
import { nearNames } from './near-names.ts';
import {
  labelSelectorText,
  matchesLabels,
  type Pod,
  type Service,
  selectorText,
  type Workload,
  type WorkloadKind,
  workloadResource,
  workloadText,
} from './objects.ts';
import { findOwners, type Owner } from './owners.ts';

export { requireInterceptable, requireJoinable } from './interceptable.ts';

/** What the user named: `web`, `svc/web`, `deploy/web`, `sts/web`. */
export interface TargetName {
  readonly kind: 'any' | 'service' | WorkloadKind;
  readonly name: string;
}

/** A target with the objects behind it, raw as read. */
export interface ResolvedTarget {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly workload: Workload;
  /** Undefined only for a workload target that no Service selects. */
  readonly service: Service | undefined;
  /** The workload's pods (of all revisions), ready or not. */
  readonly pods: readonly Pod[];
}

const KINDS: Readonly<Record<string, TargetName['kind']>> = {
  svc: 'service',
  service: 'service',
  services: 'service',
  deploy: 'Deployment',
  deployment: 'Deployment',
  deployments: 'Deployment',
  sts: 'StatefulSet',
  statefulset: 'StatefulSet',
  statefulsets: 'StatefulSet',
};

/** @throws InterceptorError USAGE_BAD_TARGET */
export function parseTarget(text: string): TargetName {
  const parts = text.split('/');
  const name = parts.at(-1) ?? '';
  const kind = parts.length === 1 ? 'any' : KINDS[(parts[0] ?? '').toLowerCase()];
  if (kind === undefined || parts.length > 2 || !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name))
    throw new InterceptorError('USAGE_BAD_TARGET', `"${text}" is not a target`, {
      hint: 'name a Service or its workload: web, svc/web, deploy/web or sts/web',
    });
  return { kind, name };
}

export interface ResolveOptions {
  readonly target: TargetName;
  readonly namespace: string;
  /** The --service option: which Service of a workload target. */
  readonly service?: string | undefined;
  /** The workload alone matters: none of its Services is looked for. */
  readonly withoutService?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Finds Service and workload. Does not judge whether they can be intercepted now: see requireInterceptable().
 * @throws InterceptorError TARGET_NOT_FOUND, TARGET_UNSUPPORTED, USAGE_BAD_OPTION (several Services), CLUSTER_*
 */
export async function resolveTarget(client: KubeClient, options: ResolveOptions): Promise<ResolvedTarget> {
  const { target } = options;
  if (target.kind === 'Deployment' || target.kind === 'StatefulSet') {
    const workload = await getWorkload(client, options, target.kind, target.name);
    if (workload === undefined)
      throw await notFound(client, options, workloadText({ kind: target.kind, name: target.name }));
    return resolveWorkload(client, options, target.kind, workload);
  }
  const service = await getOrUndefined<Service>(client, options, 'v1', 'services', target.name);
  if (service !== undefined) {
    if (options.service !== undefined && options.service !== target.name)
      throw new InterceptorError(
        'USAGE_BAD_OPTION',
        `--service ${options.service} does not go with svc/${target.name}: the target is a Service itself`,
        { hint: `name the workload: deploy/${target.name} --service ${options.service}, or leave --service out` },
      );
    return resolveService(client, options, service);
  }
  if (target.kind === 'any') {
    const [deployment, statefulSet] = await Promise.all([
      getWorkload(client, options, 'Deployment', target.name),
      getWorkload(client, options, 'StatefulSet', target.name),
    ]);
    if (deployment !== undefined) return resolveWorkload(client, options, 'Deployment', deployment);
    if (statefulSet !== undefined) return resolveWorkload(client, options, 'StatefulSet', statefulSet);
  }
  const what = target.kind === 'any' ? `workload or service named "${target.name}"` : `service "${target.name}"`;
  throw await notFound(client, options, what);
}

async function resolveService(client: KubeClient, options: ResolveOptions, service: Service): Promise<ResolvedTarget> {
  const { namespace, signal } = options;
  const name = `service "${service.metadata.name}"`;
  if (service.spec.type === 'ExternalName')
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `${name} is an ExternalName: it has no pods, only the name ${String(service.spec.externalName)}`,
      {
        hint: 'intercept a Service with a selector',
      },
    );
  const selector = service.spec.selector ?? {};
  if (Object.keys(selector).length === 0)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `${name} has no selector: its endpoints are not pods of a workload`,
      {
        hint: 'intercept a Service with a selector',
      },
    );
  const pods = await listAll<Pod>(client, options, 'v1', 'pods', selectorText(selector));
  // A pod that is being deleted may be the last of a ReplicaSet that is gone: it does not tell whose the next ones are.
  const live = pods.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed',
  );
  const owners =
    live.length > 0
      ? await findOwners(client, namespace, live, signal)
      : await ownersByTemplate(client, options, selector);
  const owner = onlyOwner(name, owners);
  const workload = owner.workload ?? (await getWorkload(client, options, owner.kind, owner.name));
  if (workload === undefined)
    throw new InterceptorError('TARGET_NOT_FOUND', `${workloadText(owner)}, which owns the pods of ${name}, is gone`);
  return { namespace, kind: owner.kind, workload, service, pods: live };
}

/** The workloads whose pods would be selected: for a Service that has no pods now (scaled to 0). */
async function ownersByTemplate(
  client: KubeClient,
  options: ResolveOptions,
  selector: Readonly<Record<string, string>>,
): Promise<Owner[]> {
  const lists = await Promise.all(
    (['Deployment', 'StatefulSet'] as const).map(async (kind) => {
      const workloads = await listAll<Workload>(client, options, 'apps/v1', workloadResource(kind));
      return workloads
        .filter(({ spec }) => matchesLabels(selector, spec.template.metadata?.labels))
        .map((workload): Owner => ({ kind, name: workload.metadata.name, workload }));
    }),
  );
  return lists.flat();
}

function onlyOwner(service: string, owners: readonly Owner[]): Owner & { kind: WorkloadKind } {
  const [first, ...others] = owners;
  if (first === undefined)
    throw new InterceptorError('TARGET_NOT_READY', `no workload has pods for ${service}`, {
      hint: 'check the selector of the Service against the labels of the pods',
    });
  if (others.length > 0)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `${service} selects pods of several workloads: ${owners.map(workloadText).join(', ')}`,
      {
        hint: 'name a Service whose pods belong to one workload',
      },
    );
  const { kind } = first;
  if (kind !== 'Deployment' && kind !== 'StatefulSet')
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `the pods of ${service} belong to ${workloadText(first)}; ${unsupportedReason(kind)}`,
      {
        hint: 'this version intercepts Deployments and StatefulSets',
      },
    );
  return { ...first, kind };
}

function unsupportedReason(kind: string): string {
  if (kind === 'Pod') return 'a pod of its own cannot be given a sidecar without being made anew';
  if (kind === 'ReplicaSet') return 'a ReplicaSet does not roll out changes of its template';
  if (kind === 'DaemonSet') return 'a DaemonSet cannot be rolled out without a gap on each node';
  if (kind === 'Job') return 'a Job cannot change its template';
  return `${kind} is not known to this version`;
}

async function resolveWorkload(
  client: KubeClient,
  options: ResolveOptions,
  kind: WorkloadKind,
  workload: Workload,
): Promise<ResolvedTarget> {
  const services = options.withoutService === true ? [] : await listAll<Service>(client, options, 'v1', 'services');
  const labels = originalWorkload(workload).spec.template.metadata?.labels;
  const selecting = services.filter(({ spec }) => spec.type !== 'ExternalName' && matchesLabels(spec.selector, labels));
  const service = chooseService(workloadText({ kind, name: workload.metadata.name }), selecting, options.service);
  if (service !== undefined) {
    const resolved = await resolveService(client, options, service);
    if (resolved.workload.metadata.uid === workload.metadata.uid) return resolved;
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `the pods of service "${service.metadata.name}" belong to ${workloadText({ kind: resolved.kind, name: resolved.workload.metadata.name })}`,
      {
        hint: `check the selectors: ${workloadText({ kind, name: workload.metadata.name })} has the labels, and not the pods`,
      },
    );
  }
  const pods = await listAll<Pod>(client, options, 'v1', 'pods', labelSelectorText(workload.spec.selector));
  return { namespace: options.namespace, kind, workload, service: undefined, pods };
}

/**
 * Which of the Services that select a workload is meant: the named one, the only one, or the only one with an address of
 * its own (a StatefulSet has a headless one beside it).
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export function chooseService(
  workload: string,
  services: readonly Service[],
  wanted: string | undefined,
): Service | undefined {
  const names = services.map(({ metadata }) => metadata.name).join(', ');
  if (wanted !== undefined) {
    const found = services.find(({ metadata }) => metadata.name === wanted);
    if (found !== undefined) return found;
    throw new InterceptorError('USAGE_BAD_OPTION', `service "${wanted}" does not select the pods of ${workload}`, {
      hint: services.length === 0 ? 'no Service does' : `these do: ${names}`,
    });
  }
  if (services.length <= 1) return services[0];
  const [withAddress, ...others] = services.filter(({ spec }) => spec.clusterIP !== 'None');
  if (withAddress !== undefined && others.length === 0) return withAddress;
  const sameName = services.find(({ metadata }) => workload.endsWith(`/${metadata.name}`));
  throw new InterceptorError('USAGE_BAD_OPTION', `several Services select the pods of ${workload}: ${names}`, {
    hint: `say which one: --service ${(sameName ?? services[0])?.metadata.name ?? ''}`,
  });
}

async function notFound(client: KubeClient, options: ResolveOptions, what: string): Promise<InterceptorError> {
  const { namespace, target } = options;
  let names: string[] = [];
  if (!(await namespaceMayExist(client, options))) return noSuchNamespace(namespace);
  try {
    const resource =
      target.kind === 'Deployment' || target.kind === 'StatefulSet' ? workloadResource(target.kind) : 'services';
    const list = await listAll(client, options, resource === 'services' ? 'v1' : 'apps/v1', resource);
    names = list.map(({ metadata }) => metadata.name);
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

function getWorkload(
  client: KubeClient,
  options: ResolveOptions,
  kind: WorkloadKind,
  name: string,
): Promise<Workload | undefined> {
  return getOrUndefined<Workload>(client, options, 'apps/v1', workloadResource(kind), name);
}

async function getOrUndefined<T extends Workload | Service>(
  client: KubeClient,
  { namespace, signal }: ResolveOptions,
  apiVersion: string,
  resource: string,
  name: string,
): Promise<T | undefined> {
  try {
    return await client.get<T>(resourcePath({ apiVersion, resource, namespace, name }), { signal });
  } catch (failure) {
    if (isNotFound(failure)) return undefined;
    throw failure;
  }
}

async function listAll<T extends KubeList['items'][number]>(
  client: KubeClient,
  { namespace, signal }: ResolveOptions,
  apiVersion: string,
  resource: string,
  labelSelector?: string,
): Promise<T[]> {
  const list = await client.list<T>(resourcePath({ apiVersion, resource, namespace }), { signal, labelSelector });
  return list.items;
}
