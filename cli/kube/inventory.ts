import { readInstall, readRetarget } from './annotation.ts';
import type { CallControl } from './apply.ts';
import { hasRollouts } from './argo-rollouts.ts';
import { type KubeClient, type KubeObject, resourcePath } from './client.ts';
import { readOrUndefined } from './guarded-patch.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import { type Service, type Workload, type WorkloadRef, wantedPods } from './objects.ts';
import { ownerOf } from './owners.ts';
import type { InstallState } from './record.ts';
import { ifAllowed } from './target.ts';
import { WORKLOAD_KINDS, type WorkloadKind, workloadPath, workloadsPath } from './workload-kinds.ts';

/** A workload that carries our annotation, or whose Service still does (`none`: workload gone or cleaned). */
export interface FoundInstall {
  readonly ref: WorkloadRef;
  readonly install: InstallState;
  /** Replicas the workload wants; 0 when it is gone. */
  readonly wanted: number;
  /** The Service that carries our retarget annotation. */
  readonly retargetedService: string | undefined;
}

/** All workloads that may carry an install, by kind. */
export type WorkloadsByKind = Readonly<Partial<Record<WorkloadKind, readonly Workload[]>>>;

/**
 * All installs of a namespace, or of all namespaces (`undefined`). Kinds that the cluster does not have, or that the user
 * has no rights for beside Deployments and StatefulSets, have none.
 * @throws InterceptorError CLUSTER_*
 */
export async function findInstalls(
  client: KubeClient,
  namespace: string | undefined,
  control: CallControl = {},
): Promise<FoundInstall[]> {
  const { workloads, services } = await listInterceptable(client, namespace, control);
  return inventory(workloads, services);
}

/** What findInstalls() looks at; kinds that may not be listed are not among the workloads. @throws InterceptorError CLUSTER_* */
export async function listInterceptable(
  client: KubeClient,
  namespace: string | undefined,
  { signal }: CallControl = {},
): Promise<{ readonly workloads: WorkloadsByKind; readonly services: readonly Service[] }> {
  const listed = async (kind: WorkloadKind): Promise<[WorkloadKind, readonly Workload[]][]> => {
    const look = async (): Promise<readonly Workload[]> => {
      if (kind === 'ReplicaSet') return await annotatedReplicaSets(client, namespace, signal);
      if (kind === 'Rollout' && !(await hasRollouts(client, signal))) return [];
      return (await client.list<Workload>(workloadsPath(kind, namespace), { signal })).items;
    };
    const items = await ifAllowed(kind, look);
    return items === undefined ? [] : [[kind, items]];
  };
  const [services, ...workloads] = await Promise.all([
    client.list<Service>(resourcePath({ apiVersion: 'v1', resource: 'services', namespace }), { signal }),
    ...WORKLOAD_KINDS.map(listed),
  ]);
  return { workloads: Object.fromEntries(workloads.flat()), services: services.items };
}

/**
 * ReplicaSets of their own that carry an annotation of ours. There are ten for each Deployment, with our annotation copied to
 * them: they are listed by their metadata only, and the few that are meant are read.
 */
async function annotatedReplicaSets(
  client: KubeClient,
  namespace: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Workload[]> {
  const { text } = await client.request({
    method: 'GET',
    path: workloadsPath('ReplicaSet', namespace),
    headers: { accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' },
    signal,
  });
  const { items } = JSON.parse(text) as { items: KubeObject[] | null }; // null where there is none
  const ours = (items ?? []).filter(
    (set) => set.metadata.annotations?.[INTERCEPT_ANNOTATION] !== undefined && ownerOf(set) === undefined,
  );
  const read = ours.map(({ metadata: { namespace: its = '', name } }) =>
    readOrUndefined<Workload>(client, workloadPath({ kind: 'ReplicaSet', namespace: its, name }), signal),
  );
  return (await Promise.all(read)).filter((set) => set !== undefined);
}

/** The installs among these objects, by namespace and name. Pure. */
export function inventory(workloads: WorkloadsByKind, services: readonly Service[]): FoundInstall[] {
  const found = new Map<string, FoundInstall>();
  for (const kind of WORKLOAD_KINDS)
    for (const workload of workloads[kind] ?? []) {
      if (workload.metadata.annotations?.[INTERCEPT_ANNOTATION] === undefined) continue;
      // a copy by a controller, as a Deployment's on its ReplicaSets
      if (ownerOf(workload) !== undefined && kind === 'ReplicaSet') continue;
      const ref = { kind, namespace: workload.metadata.namespace ?? '', name: workload.metadata.name };
      const wanted = wantedPods(kind, workload);
      found.set(keyOf(ref), { ref, install: readInstall(workload), wanted, retargetedService: undefined });
    }
  for (const service of services) {
    const retarget = readRetarget(service);
    if (retarget === undefined) continue;
    const ref = { ...retarget.workload, namespace: service.metadata.namespace ?? '' };
    const present = workloads[ref.kind]?.find(
      ({ metadata }) => metadata.name === ref.name && (metadata.namespace ?? '') === ref.namespace,
    );
    const bare: FoundInstall = {
      ref,
      install: { state: 'none' },
      wanted: present === undefined ? 0 : wantedPods(ref.kind, present),
      retargetedService: undefined,
    };
    found.set(keyOf(ref), { ...(found.get(keyOf(ref)) ?? bare), retargetedService: service.metadata.name });
  }
  return [...found.values()].sort((a, b) => keyOf(a.ref).localeCompare(keyOf(b.ref)));
}

function keyOf({ kind, namespace, name }: WorkloadRef): string {
  return `${namespace}/${name}/${kind}`;
}
