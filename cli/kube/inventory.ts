import { readInstall, readRetarget } from './annotation.ts';
import type { CallControl } from './apply.ts';
import { type KubeClient, resourcePath } from './client.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import { type Service, type Workload, type WorkloadRef, workloadResource } from './objects.ts';
import type { InstallState } from './record.ts';

/** A workload that carries our annotation, or whose Service still does (`none`: workload gone or cleaned). */
export interface FoundInstall {
  readonly ref: WorkloadRef;
  readonly install: InstallState;
  /** Replicas the workload wants; 0 when it is gone. */
  readonly wanted: number;
  /** The Service that carries our retarget annotation. */
  readonly retargetedService: string | undefined;
}

/** All installs of a namespace, or of all namespaces (`undefined`). @throws InterceptorError CLUSTER_* */
export async function findInstalls(
  client: KubeClient,
  namespace: string | undefined,
  { signal }: CallControl = {},
): Promise<FoundInstall[]> {
  const workloads = async (kind: WorkloadRef['kind']): Promise<Workload[]> => {
    const path = resourcePath({ apiVersion: 'apps/v1', resource: workloadResource(kind), namespace });
    return (await client.list<Workload>(path, { signal })).items;
  };
  const [deployments, statefulSets, services] = await Promise.all([
    workloads('Deployment'),
    workloads('StatefulSet'),
    client.list<Service>(resourcePath({ apiVersion: 'v1', resource: 'services', namespace }), { signal }),
  ]);
  return inventory(deployments, statefulSets, services.items);
}

/** The installs among these objects, by namespace and name. Pure. */
export function inventory(
  deployments: readonly Workload[],
  statefulSets: readonly Workload[],
  services: readonly Service[],
): FoundInstall[] {
  const found = new Map<string, FoundInstall>();
  const add = (kind: WorkloadRef['kind'], workload: Workload): void => {
    if (workload.metadata.annotations?.[INTERCEPT_ANNOTATION] === undefined) return;
    const ref = { kind, namespace: workload.metadata.namespace ?? '', name: workload.metadata.name };
    const wanted = workload.spec.replicas ?? 1;
    found.set(keyOf(ref), { ref, install: readInstall(workload), wanted, retargetedService: undefined });
  };
  for (const workload of deployments) add('Deployment', workload);
  for (const workload of statefulSets) add('StatefulSet', workload);
  for (const service of services) {
    const retarget = readRetarget(service);
    if (retarget === undefined) continue;
    const ref = { ...retarget.workload, namespace: service.metadata.namespace ?? '' };
    const present = (ref.kind === 'Deployment' ? deployments : statefulSets).find(
      ({ metadata }) => metadata.name === ref.name && (metadata.namespace ?? '') === ref.namespace,
    );
    const bare: FoundInstall = {
      ref,
      install: { state: 'none' },
      wanted: present === undefined ? 0 : (present.spec.replicas ?? 1),
      retargetedService: undefined,
    };
    found.set(keyOf(ref), { ...(found.get(keyOf(ref)) ?? bare), retargetedService: service.metadata.name });
  }
  return [...found.values()].sort((a, b) => keyOf(a.ref).localeCompare(keyOf(b.ref)));
}

function keyOf({ kind, namespace, name }: WorkloadRef): string {
  return `${namespace}/${name}/${kind}`;
}
