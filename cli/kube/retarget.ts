import { InterceptorError } from '../../src/errors.ts';
import { ANNOTATION_PATH, readInstall, readRetarget } from './annotation.ts';
import type { CallControl } from './apply.ts';
import { applyChanges } from './changes.ts';
import type { KubeClient } from './client.ts';
import { corePath, guardedPatch, workloadPath } from './guarded-patch.ts';
import { isHeadless, type Service, type Workload, type WorkloadRef } from './objects.ts';
import { released } from './plan-hold.ts';
import { planService, restoredService } from './plan-service.ts';
import type { InstallRecord } from './record.ts';

export interface RetargetControl extends CallControl {
  /** Pods of the old template are held: all ports of the Service are pointed to the agents, named ones too. */
  readonly held?: boolean;
}

/**
 * Points the numeric target ports of a Service that is intercepted to the agent; call when its pods are up. Nothing to do for named
 * ones (but while old pods are held) and in the other modes. Safe to repeat.
 * @returns the Service as stored; undefined when nothing had to be retargeted
 * @throws InterceptorError CLUSTER_CONFLICT (somebody has changed the target port), TARGET_NOT_FOUND, CLUSTER_*
 */
export async function retargetService(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord,
  name: string,
  { signal, held = false }: RetargetControl = {},
): Promise<Service | undefined> {
  if (record.mode.kind !== 'sidecar') return undefined;
  if (!held && record.routes.every(({ targetName }) => targetName !== undefined)) return undefined;
  let isRetargeted = false;
  const patched = await guardedPatch<Service>(client, corePath('services', ref.namespace, name), (service) => {
    signal?.throwIfAborted(); // once it is sent it is waited for: see install()
    const isHeld = held || readRetarget(service)?.held !== undefined;
    const planned = planService(service, ref, record, isHeld ? { asked: true } : 'released');
    isRetargeted = planned !== undefined;
    return planned;
  });
  if (patched === undefined)
    throw new InterceptorError('TARGET_NOT_FOUND', `service "${name}" has been deleted meanwhile`);
  return isRetargeted ? patched.object : undefined;
}

/**
 * Points the Services that lead to a workload and are not asked for to its agents, too, while old pods are held: their callers would
 * meet old pods that end. @throws InterceptorError CLUSTER_*; the signal's reason
 */
export async function switchServices(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord,
  services: readonly Service[],
  { signal }: CallControl = {},
): Promise<void> {
  for (const { metadata } of services.filter((service) => !isHeadless(service)))
    await guardedPatch<Service>(client, corePath('services', ref.namespace, metadata.name), (service) => {
      signal?.throwIfAborted();
      return readRetarget(service) === undefined ? planService(service, ref, record, { asked: false }) : undefined;
    });
}

/** Lets the old pods go. @returns the workload as it is now, its record without the hold; undefined when there is none to release */
export async function releaseOldPods(
  client: KubeClient,
  ref: WorkloadRef,
  installId: string,
): Promise<{ workload: Workload; record: InstallRecord } | undefined> {
  const patched = await guardedPatch<Workload>(client, workloadPath(ref), (workload) => released(workload, installId));
  const install = patched === undefined ? undefined : readInstall(patched.object);
  if (patched === undefined || install?.state !== 'installed' || install.record.installId !== installId)
    return undefined;
  return { workload: patched.object, record: install.record };
}

/**
 * Has a Deployment's ReplicaSet try again to make pods that a quota has refused: it would wait for up to 1000 s by then. Its controller
 * looks at it when it changes, and the Deployment's annotations are copied to it; readers pass over what is added to ours.
 */
export async function tryPodsAgain(
  client: KubeClient,
  ref: WorkloadRef,
  installId: string,
  tries: number,
): Promise<void> {
  await guardedPatch<Workload>(client, workloadPath(ref), (workload) => {
    const install = readInstall(workload);
    if (install.state !== 'installed' || install.record.installId !== installId) return undefined;
    return applyChanges(workload, [{ path: ANNOTATION_PATH, now: JSON.stringify({ ...install.record, tries }) }]);
  });
}

/**
 * Gives Services that were switched for held pods what they have for the rest of the intercept; call when those pods are gone.
 * Safe to repeat. @throws InterceptorError CLUSTER_*
 */
export async function settleServices(client: KubeClient, ref: WorkloadRef, record: InstallRecord): Promise<void> {
  const services = await client.list<Service>(corePath('services', ref.namespace));
  const isOurs = (service: Service): boolean => {
    const retarget = readRetarget(service);
    return retarget?.held !== undefined && retarget.installId === record.installId;
  };
  for (const { metadata } of services.items.filter(isOurs))
    await guardedPatch<Service>(client, corePath('services', ref.namespace, metadata.name), (service) => {
      if (!isOurs(service)) return undefined;
      const isAsked = readRetarget(service)?.held?.asked === true;
      return (isAsked ? planService(service, ref, record, 'released') : undefined) ?? restoredService(service, record);
    });
}
