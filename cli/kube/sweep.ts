import { MANAGED_SELECTOR } from './agent-objects.ts';
import { readInstall } from './annotation.ts';
import { type KubeClient, type KubeObject, KubeStatusError, resourcePath } from './client.ts';
import { corePath } from './guarded-patch.ts';
import type { WorkloadsByKind } from './inventory.ts';
import { INSTALL_LABEL } from './names.ts';
import type { Workload } from './objects.ts';

/** ConfigMaps and Secrets of no install are left alone this long: somebody's install may be about to patch. */
export const ORPHAN_AGE_MS = 10 * 60_000;

/** Of Secrets the data is nobody's business here. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';

export interface SweepControl {
  readonly signal?: AbortSignal | undefined;
  /** Installs that are known to be over: their objects go whatever their age. */
  readonly over?: readonly string[] | undefined;
}

/** Deletes ConfigMaps and Secrets of this workload whose install never came to its patch, or whose restore lost its laptop. */
export async function sweepOrphans(client: KubeClient, workload: Workload, control: SweepControl): Promise<void> {
  const { namespace = '', uid } = workload.metadata;
  try {
    await sweep(client, namespace, [workload], control, (object) =>
      (object.metadata.ownerReferences ?? []).some((owner) => owner.uid === uid),
    );
  } catch (failure) {
    // no rights to list: they go with their owner, the workload
    if (!(failure instanceof KubeStatusError)) throw failure;
  }
}

/**
 * The same for a whole namespace: what belongs to none of these workloads. What a pod of a session's own has goes with it.
 * @param workloads all there are of their kinds; objects of other kinds' workloads are left alone
 * @returns names of what was deleted: `configmap/…`
 * @throws InterceptorError CLUSTER_*
 */
export async function sweepNamespace(
  client: KubeClient,
  namespace: string,
  workloads: WorkloadsByKind,
  control: SweepControl,
): Promise<string[]> {
  const all = Object.values(workloads).flat();
  return await sweep(client, namespace, all, control, ({ metadata }) =>
    (metadata.ownerReferences ?? []).some(({ kind }) => kind in workloads),
  );
}

async function sweep(
  client: KubeClient,
  namespace: string,
  workloads: readonly Workload[],
  { signal, over = [] }: SweepControl,
  isMeant: (object: KubeObject) => boolean,
): Promise<string[]> {
  const used = new Set(workloads.flatMap(usedObjects));
  const installs = new Set(workloads.map(installOf));
  const swept: string[] = [];
  for (const [resource, kind] of [
    ['configmaps', 'configmap'],
    ['secrets', 'secret'],
  ] as const) {
    for (const object of await listMetadata(client, resource, namespace, signal)) {
      const { labels, name, creationTimestamp } = object.metadata;
      const install = labels?.[INSTALL_LABEL];
      // what a template names is mounted by the next pod of it, whatever has become of the annotation
      if (install === undefined || installs.has(install) || used.has(name) || !isMeant(object)) continue;
      const ageMs = Date.now() - Date.parse(creationTimestamp ?? '');
      if (!over.includes(install) && !(ageMs > ORPHAN_AGE_MS)) continue;
      if (await client.delete(corePath(resource, namespace, name), { signal })) swept.push(`${kind}/${name}`);
    }
  }
  return swept;
}

async function listMetadata(
  client: KubeClient,
  resource: string,
  namespace: string,
  signal: AbortSignal | undefined,
): Promise<KubeObject[]> {
  const { text } = await client.request({
    method: 'GET',
    path: resourcePath({ apiVersion: 'v1', resource, namespace }),
    query: { labelSelector: MANAGED_SELECTOR },
    headers: { accept: METADATA_ONLY },
    signal,
  });
  const { items } = JSON.parse(text) as { items: KubeObject[] | null }; // null where there is none
  return items ?? [];
}

function installOf(workload: Workload): string | undefined {
  const state = readInstall(workload);
  return 'record' in state ? state.record.installId : undefined;
}

/** Names of ConfigMaps and Secrets that the template's volumes mount. */
function usedObjects({ spec }: Workload): string[] {
  return (spec.template.spec.volumes ?? []).flatMap((volume) => {
    const { configMap, secret } = volume as { configMap?: { name?: string }; secret?: { secretName?: string } };
    return [configMap?.name, secret?.secretName].filter((name) => name !== undefined);
  });
}
