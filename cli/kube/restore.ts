import { InterceptorError } from '../../src/errors.ts';
import { MANAGED_SELECTOR } from './agent-objects.ts';
import { ANNOTATION_PATH, originalWorkload, readInstall, readRetarget, recordText } from './annotation.ts';
import { deleteObjects } from './apply.ts';
import { ChangeList } from './change-list.ts';
import { applyChanges, storedChange } from './changes.ts';
import { type KubeClient, KubeStatusError, resourcePath } from './client.ts';
import { corePath, guardedPatch, readOrUndefined, workloadPath } from './guarded-patch.ts';
import { cleanHistory } from './history.ts';
import { INSTALL_LABEL } from './names.ts';
import { type Service, type Workload, type WorkloadRef, workloadText } from './objects.ts';
import { isRetargetedFor, restoredService, withoutAgent } from './plan-service.ts';
import { keepCountDuringRollout } from './plan-strategy.ts';
import { type InstallRecord, type RetargetRecord, recordServices } from './record.ts';
import { type RolloutProgress, waitForRollout } from './rollout.ts';

export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** Only this install (a session's own); without it, whatever install is there. */
  readonly installId?: string | undefined;
  /** False: return once traffic and template are back; what is left is done by whoever restores next. Default true. */
  readonly waitForRollout?: boolean | undefined;
  readonly deadlineMs?: number | undefined;
  onProgress?: ((step: RestoreStep) => void) | undefined;
}

export type RestoreStep =
  | { readonly step: 'service'; readonly service: string }
  | { readonly step: 'workload' }
  | ({ readonly step: 'rollout' } & RolloutProgress)
  | { readonly step: 'cleaned' };

export interface RestoreResult {
  /** `nothing`: no install of ours was there; `partly`: waitForRollout was false and pods with the agent may still run. */
  readonly outcome: 'restored' | 'nothing' | 'partly';
  /** The Service that was put back or need not be. */
  readonly service: string | undefined;
}

/** ConfigMaps and Secrets of no install are left alone this long: somebody's install may be about to patch. */
export const ORPHAN_AGE_MS = 10 * 60_000;

/**
 * Takes an install out: Service first, then the template, rollout, then strategy and annotation, then ConfigMap and Secret.
 * Needs only the annotations. Safe to repeat, at the same time by several people, and after any step of an install or restore.
 * @throws InterceptorError RESTORE_INCOMPLETE (the template is back and its rollout fails, or its annotation cannot be read),
 *   CLUSTER_*
 */
export async function restore(
  client: KubeClient,
  ref: WorkloadRef,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const { signal, onProgress } = options;
  const workload = await readOrUndefined<Workload>(client, workloadPath(ref), signal);
  const state = workload === undefined ? undefined : readInstall(workload);
  if (state?.state === 'unreadable')
    throw new InterceptorError(
      'RESTORE_INCOMPLETE',
      `the annotation of ${workloadText(ref)} cannot be read: ${state.reason}`,
      {
        hint: 'it was written by another version of kube-intercept: restore with that one',
      },
    );
  const record = state !== undefined && 'record' in state ? state.record : undefined;
  const others = record !== undefined && options.installId !== undefined && options.installId !== record.installId;
  if (others) return { outcome: 'nothing', service: undefined };

  const service = await restoreServices(client, ref, record, options);
  if (workload === undefined || record === undefined) {
    if (workload !== undefined) await sweepOrphans(client, workload, options);
    return { outcome: service === undefined ? 'nothing' : 'restored', service };
  }
  const changed = await guardedPatch<Workload>(
    client,
    workloadPath(ref),
    (current) => (readRecord(current)?.installId === record.installId ? templateRestored(ref, current) : undefined),
    { signal, known: workload },
  );
  if (changed?.changed === true) onProgress?.({ step: 'workload' });
  if (changed !== undefined) {
    if (options.waitForRollout === false) return { outcome: 'partly', service: service ?? recordServices(record)[0] };
    await untilRolledOut(client, ref, changed.object, options);
    await finish(client, ref, record, options);
  }
  await deleteObjects(client, ref.namespace, record, { signal });
  onProgress?.({ step: 'cleaned' });
  return { outcome: 'restored', service: service ?? recordServices(record)[0] };
}

function readRecord(workload: Workload): InstallRecord | undefined {
  const state = readInstall(workload);
  return 'record' in state ? state.record : undefined;
}

/**
 * The workload with its template back and everything else as it is: surge settings and annotation stay until the rollout is
 * complete. Where the count has grown since, so that the way out would go below it, the settings are changed (and recorded) now. Pure.
 */
export function templateRestored(ref: WorkloadRef, workload: Workload): Workload {
  const record = readRecord(workload);
  if (record === undefined) return workload;
  const list = new ChangeList(withoutAgent(workload, record));
  if (readInstall(workload).state === 'installed') keepCountDuringRollout(ref.kind, list);
  if (list.changes.length === 0) return list.object;
  const renewed = { ...record, changes: [...record.changes, ...list.changes.map(storedChange)] };
  return applyChanges(list.object, [{ path: ANNOTATION_PATH, now: recordText(renewed, workload) }]);
}

async function untilRolledOut(
  client: KubeClient,
  ref: WorkloadRef,
  workload: Workload,
  { signal, deadlineMs, onProgress }: RestoreOptions,
): Promise<void> {
  try {
    await waitForRollout(client, ref, {
      signal,
      deadlineMs,
      generation: workload.metadata.generation,
      restoring: true,
      onProgress: (progress) => onProgress?.({ step: 'rollout', ...progress }),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    if (!(cause instanceof InterceptorError)) throw cause;
    if (cause.code === 'TARGET_NOT_FOUND') return; // deleted meanwhile: nothing is left to wait for
    if (cause.code !== 'ROLLOUT_FAILED' && cause.code !== 'AGENT_IMAGE_UNAVAILABLE') throw cause;
    throw new InterceptorError(
      'RESTORE_INCOMPLETE',
      `the template of ${workloadText(ref)} is put back; ${cause.message}`,
      {
        hint: `when that is mended: intercept leave ${workloadText(ref)} -n ${ref.namespace}`,
        cause,
      },
    );
  }
}

/** Strategy and annotation, and the history of a Deployment or Rollout. Another install that has begun meanwhile is left alone. */
async function finish(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord,
  options: RestoreOptions,
): Promise<void> {
  const { signal } = options;
  let ours = false;
  const finished = await guardedPatch<Workload>(
    client,
    workloadPath(ref),
    (current) => {
      ours = readRecord(current)?.installId === record.installId;
      return ours ? originalWorkload(current) : undefined;
    },
    { signal },
  );
  if (finished === undefined || !ours) return;
  if (ref.kind === 'Deployment' || ref.kind === 'Rollout') await cleanHistory(client, finished.object, signal);
  await sweepOrphans(client, finished.object, options);
}

/** Every Service that was retargeted for this workload, and the record's own. @returns the name of one that was put back */
async function restoreServices(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord | undefined,
  { signal, onProgress, installId }: RestoreOptions,
): Promise<string | undefined> {
  const services = await client.list<Service>(corePath('services', ref.namespace), { signal });
  let restored: string | undefined;
  for (const service of services.items) {
    const { name } = service.metadata;
    const retarget = readRetarget(service);
    const forUs = retarget?.workload.kind === ref.kind && retarget.workload.name === ref.name;
    const wanted = installId === undefined || retarget?.installId === installId;
    if (!(forUs && wanted) && !(record !== undefined && !isOthers(ref, retarget) && isRetargetedFor(service, record)))
      continue;
    const patched = await guardedPatch<Service>(
      client,
      corePath('services', ref.namespace, name),
      (current) => restoredService(current, record),
      { signal, known: service },
    );
    if (patched?.changed === true) {
      restored = name;
      onProgress?.({ step: 'service', service: name });
    }
  }
  return restored;
}

/** A Service that another workload's install has retargeted. */
function isOthers(ref: WorkloadRef, retarget: RetargetRecord | undefined): boolean {
  return retarget !== undefined && (retarget.workload.kind !== ref.kind || retarget.workload.name !== ref.name);
}

/** Deletes ConfigMaps and Secrets of this workload whose install never came to its patch, or whose restore lost its laptop. */
async function sweepOrphans(
  client: KubeClient,
  workload: Workload,
  { signal, installId }: RestoreOptions,
): Promise<void> {
  const { namespace = '', uid } = workload.metadata;
  const present = readRecord(workload)?.installId;
  try {
    for (const resource of ['configmaps', 'secrets']) {
      const path = resourcePath({ apiVersion: 'v1', resource, namespace });
      const list = await client.list(path, { labelSelector: MANAGED_SELECTOR, signal });
      for (const { metadata } of list.items) {
        const install = metadata.labels?.[INSTALL_LABEL];
        if (install === present || metadata.ownerReferences?.every((owner) => owner.uid !== uid) !== false) continue;
        const ageMs = Date.now() - Date.parse(metadata.creationTimestamp ?? '');
        if (install !== installId && !(ageMs > ORPHAN_AGE_MS)) continue;
        await client.delete(corePath(resource, namespace, metadata.name), { signal });
      }
    }
  } catch (failure) {
    // no rights to list: they go with their owner, the workload
    if (!(failure instanceof KubeStatusError)) throw failure;
  }
}
