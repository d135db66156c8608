import { readInstall, readRetarget } from './annotation.ts';
import { type Json, type KeptChange, keptChanges, sameJson } from './changes.ts';
import type { KubeClient } from './client.ts';
import { corePath, guardedPatch, readOrUndefined } from './guarded-patch.ts';
import type { Service, Workload, WorkloadRef } from './objects.ts';
import { isRetargetedFor, restoredService } from './plan-service.ts';
import type { InstallRecord, RetargetRecord } from './record.ts';
import { workloadPath } from './workload-kinds.ts';

/** A Service that has been put back, as it is now. */
export interface ServiceBack {
  readonly service: Service;
  /** Which had pointed it to its agents. */
  readonly installId: string | undefined;
  /** Values of others that stay. */
  readonly kept: readonly KeptChange[];
}

export interface ServicesControl {
  readonly signal?: AbortSignal | undefined;
  /** Only Services that this install has retargeted. */
  readonly installId?: string | undefined;
}

/** Puts back every Service that was retargeted for this workload, and the record's own. @throws InterceptorError CLUSTER_* */
export async function restoreServices(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord | undefined,
  control: ServicesControl,
): Promise<ServiceBack[]> {
  const { signal, installId } = control;
  const services = await client.list<Service>(corePath('services', ref.namespace), { signal });
  const back: ServiceBack[] = [];
  for (const service of services.items) {
    const retarget = readRetarget(service);
    const forUs = retarget?.workload.kind === ref.kind && retarget.workload.name === ref.name;
    const wanted = installId === undefined || retarget?.installId === installId;
    if (!(forUs && wanted) && !(record !== undefined && !isOthers(ref, retarget) && isRetargetedFor(service, record)))
      continue;
    let kept: readonly KeptChange[] = [];
    const patched = await guardedPatch<Service>(
      client,
      corePath('services', ref.namespace, service.metadata.name),
      (current) => {
        const after = serviceRestored(current, record);
        kept = keptChanges(current, readRetarget(current)?.changes ?? []);
        return after;
      },
      { signal, known: service },
    );
    if (patched?.changed === true) back.push({ service: patched.object, installId: retarget?.installId, kept });
  }
  return back;
}

/**
 * Puts Services back that lead to the agents of a workload that has none any more (reverted, deleted): at once, whoever has
 * left them. Nothing is changed while the workload carries an agent. @throws InterceptorError CLUSTER_*
 */
export async function rescueServices(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord | undefined,
  control: ServicesControl = {},
): Promise<ServiceBack[]> {
  const workload = await readOrUndefined<Workload>(client, workloadPath(ref), control.signal);
  if (workload !== undefined && readInstall(workload).state === 'installed') return [];
  return await restoreServices(client, ref, record, control);
}

/**
 * The Service as restoredService() gives it, and besides: a port that somebody has given another number meanwhile, or copied,
 * still leads to the agent then, which nobody will listen on. Pure.
 */
export function serviceRestored(service: Service, record: InstallRecord | undefined): Service {
  const retarget = readRetarget(service);
  const restored = restoredService(service, record);
  const targets = (retarget?.changes ?? []).filter(({ path }) => path.at(-1) === 'targetPort');
  if (targets.length === 0) return restored;
  const ports = restored.spec.ports?.map((port) => {
    const ours = targets.find(({ path, now }) => {
      const step = path.at(-2);
      const protocol = typeof step === 'object' ? step.match.protocol : undefined;
      return sameJson(now, port.targetPort) && (protocol ?? 'TCP') === (port.protocol ?? 'TCP');
    });
    return ours === undefined ? port : { ...port, ...targetPort(ours.was) };
  });
  return ports === undefined ? restored : { ...restored, spec: { ...restored.spec, ports } };
}

function targetPort(was: Json | undefined): { targetPort?: number | string } {
  return typeof was === 'number' || typeof was === 'string' ? { targetPort: was } : {};
}

/** A Service that another workload's install has retargeted. */
function isOthers(ref: WorkloadRef, retarget: RetargetRecord | undefined): boolean {
  return retarget !== undefined && (retarget.workload.kind !== ref.kind || retarget.workload.name !== ref.name);
}
