import { InterceptorError } from '../../src/errors.ts';
import { originalWorkload, readInstall } from './annotation.ts';
import { deleteObjects } from './apply.ts';
import { keptChanges } from './changes.ts';
import type { KubeClient, KubeObject } from './client.ts';
import { guardedPatch, readOrUndefined, workloadPath } from './guarded-patch.ts';
import { cleanHistory } from './history.ts';
import { keptDiff, objectText, othersDiff } from './kept.ts';
import { AGENT_CONTAINER } from './names.ts';
import { type Service, type Workload, type WorkloadRef, workloadText } from './objects.ts';
import type { InstallRecord } from './record.ts';
import { restoreServices, type ServiceBack } from './restore-services.ts';
import {
  isHeldBy,
  isRecordOf,
  lostRecordText,
  settingsRestored,
  templateRestored,
  withAnnotation,
} from './restore-template.ts';
import { type RolloutProgress, waitForRollout } from './rollout.ts';
import { sweepOrphans } from './sweep.ts';
import { deleteTakenOut } from './taken-out.ts';

export { templateRestored } from './restore-template.ts';

export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** Only this install (a session's own); without it, whatever install is there. */
  readonly installId?: string | undefined;
  /** An install of the caller's that is over, whether it came to its patch or not: what it made goes at once. */
  readonly over?: string | undefined;
  /** False: return once traffic and template are back; what is left is done by whoever restores next. Default true. */
  readonly waitForRollout?: boolean | undefined;
  readonly deadlineMs?: number | undefined;
  /** The objects as they were without us, where the caller has seen them: what others have changed since is told. */
  readonly originals?: readonly (Workload | Service)[] | undefined;
  /** The annotation's text, should somebody have taken it off; `originals` says of which workload. */
  readonly recordText?: string | undefined;
  onProgress?: ((step: RestoreStep) => void) | undefined;
}

export type RestoreStep =
  | { readonly step: 'service'; readonly service: string }
  | { readonly step: 'workload' }
  | ({ readonly step: 'rollout' } & RolloutProgress)
  /** Somebody has changed the object meanwhile: that stays. */
  | { readonly step: 'kept'; readonly object: string; readonly diff: string }
  | { readonly step: 'cleaned' };

export interface RestoreResult {
  /** `nothing`: no install of ours was there; `partly`: waitForRollout was false and pods with the agent may still run. */
  readonly outcome: 'restored' | 'nothing' | 'partly';
  /** The workload is not there (any more): Services alone were put back. */
  readonly isGone: boolean;
  /** Names of the Services that were put back now. */
  readonly services: readonly string[];
}

/**
 * Takes an install out: Service first, then the template, rollout, then ConfigMap and Secret, then strategy and annotation, which
 * says until then that somebody has to go on. Needs only the annotations. Safe to repeat, at the same time by several people,
 * and after any step of an install or restore.
 * @throws InterceptorError RESTORE_INCOMPLETE (the template is back and its rollout fails, or its annotation cannot be read),
 *   CLUSTER_*
 */
export async function restore(
  client: KubeClient,
  ref: WorkloadRef,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const { signal, onProgress } = options;
  const workload = await readWithRecord(client, ref, options);
  const state = workload === undefined ? undefined : readInstall(workload);
  const record = state !== undefined && 'record' in state ? state.record : undefined;
  const others = record !== undefined && options.installId !== undefined && options.installId !== record.installId;
  if (others) return { outcome: 'nothing', isGone: false, services: [] };

  const back = await servicesBack(client, ref, record, options);
  const services = back.map(({ service: { metadata } }) => metadata.name);
  if (state?.state === 'unreadable') throw unreadable(ref, state.reason);
  if (workload === undefined || record === undefined) {
    // An install that is on a Service alone is over: somebody has put the workload back as it was.
    const over = back.flatMap(({ installId }) => installId ?? []);
    const areSettingsBack = workload !== undefined && (await settingsBack(client, ref, workload, options));
    if (workload !== undefined) await clean(client, ref, workload, options, over);
    else if (ref.kind === 'ReplicaSet') await deleteTakenOut(client, ref.namespace, ref.name, signal);
    const outcome = back.length === 0 && !areSettingsBack ? 'nothing' : 'restored';
    return { outcome, isGone: workload === undefined, services };
  }
  const changed = await guardedPatch<Workload>(
    client,
    workloadPath(ref),
    (current) => (readRecord(current)?.installId === record.installId ? templateRestored(ref, current) : undefined),
    { signal, known: workload },
  );
  if (changed?.changed === true) onProgress?.({ step: 'workload' });
  if (changed !== undefined && options.waitForRollout === false) return { outcome: 'partly', isGone: false, services };
  if (changed !== undefined) await untilRolledOut(client, ref, changed.object, options);
  await deleteObjects(client, ref.namespace, record, { signal });
  const isGone = changed === undefined || !(await finish(client, ref, record, options));
  onProgress?.({ step: 'cleaned' });
  return { outcome: 'restored', isGone, services };
}

function readRecord(workload: Workload): InstallRecord | undefined {
  const state = readInstall(workload);
  return 'record' in state ? state.record : undefined;
}

/** The workload; where its template has our agent and the annotation has been taken away, with the annotation put back. */
export async function readWithRecord(
  client: KubeClient,
  ref: WorkloadRef,
  { signal, recordText }: Pick<RestoreOptions, 'signal' | 'recordText'> = {},
): Promise<Workload | undefined> {
  const workload = await readOrUndefined<Workload>(client, workloadPath(ref), signal);
  if (workload === undefined || !isOrphaned(workload)) return workload;
  const known = recordText !== undefined && isRecordOf(recordText, workload) ? recordText : undefined;
  const text = known ?? (await lostRecordText(client, ref, workload, (one) => isRecordOf(one, workload), signal));
  if (text === undefined) return workload;
  const patched = await guardedPatch<Workload>(
    client,
    workloadPath(ref),
    (current) => (isOrphaned(current) && isRecordOf(text, current) ? withAnnotation(current, text) : undefined),
    { signal, known: workload },
  );
  return patched?.object;
}

/** Of a workload whose template somebody has put back, and our annotation with it. @returns whether anything was to be done */
async function settingsBack(
  client: KubeClient,
  ref: WorkloadRef,
  workload: Workload,
  { signal, originals = [], recordText, onProgress }: RestoreOptions,
): Promise<boolean> {
  if (readInstall(workload).state !== 'none') return false;
  // Of one that was made anew meanwhile nothing is ours, whatever values it has.
  const known = originals.some(({ metadata }) => metadata.uid === workload.metadata.uid) ? recordText : undefined;
  const text = known ?? (await lostRecordText(client, ref, workload, (one) => isHeldBy(one, workload), signal));
  if (text === undefined) return false;
  const patched = await guardedPatch<Workload>(
    client,
    workloadPath(ref),
    (current) => {
      const isIt = current.metadata.uid === workload.metadata.uid && readInstall(current).state === 'none';
      return isIt ? settingsRestored(current, text) : undefined;
    },
    { signal, known: workload },
  );
  if (patched?.changed === true) onProgress?.({ step: 'workload' });
  return patched?.changed === true;
}

function isOrphaned(workload: Workload): boolean {
  const { containers } = workload.spec.template.spec;
  return readInstall(workload).state === 'none' && containers.some(({ name }) => name === AGENT_CONTAINER);
}

function unreadable(ref: WorkloadRef, reason: string): InterceptorError {
  return new InterceptorError(
    'RESTORE_INCOMPLETE',
    `the annotation of ${workloadText(ref)} cannot be read: ${reason}`,
    {
      hint: `it was written by another version of kube-intercept: restore with that one; or go back to the template of before: kubectl rollout undo ${workloadText(ref)} -n ${ref.namespace}`,
    },
  );
}

async function servicesBack(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord | undefined,
  options: RestoreOptions,
): Promise<ServiceBack[]> {
  const back = await restoreServices(client, ref, record, options);
  for (const { service, kept } of back) {
    options.onProgress?.({ step: 'service', service: service.metadata.name });
    tellKept(service, keptDiff(kept), options);
  }
  return back;
}

/** @param conflicts what to tell where the object as it was is not known */
function tellKept(object: KubeObject, conflicts: string, { originals = [], onProgress }: RestoreOptions): void {
  const original = originals.find(({ kind, metadata }) => kind === object.kind && metadata.uid === object.metadata.uid);
  const diff = original === undefined ? conflicts : othersDiff(original, object);
  if (diff !== '') onProgress?.({ step: 'kept', object: objectText(object), diff });
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

/** Strategy and annotation, and what is left of ours. Another install that has begun meanwhile is left alone. @returns false: it is gone */
async function finish(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord,
  options: RestoreOptions,
): Promise<boolean> {
  let ours = false;
  let conflicts = '';
  const finished = await guardedPatch<Workload>(
    client,
    workloadPath(ref),
    (current) => {
      const present = readRecord(current);
      ours = present?.installId === record.installId;
      if (present === undefined || !ours) return undefined;
      conflicts = keptDiff(keptChanges(current, present.changes));
      return originalWorkload(current);
    },
    { signal: options.signal },
  );
  if (finished === undefined) return false;
  if (ours) {
    tellKept(finished.object, conflicts, options);
    await clean(client, ref, finished.object, options);
  }
  return true;
}

/** The history of a Deployment or Rollout, and objects of ours that nobody uses. */
async function clean(
  client: KubeClient,
  ref: WorkloadRef,
  workload: Workload,
  { signal, installId, over }: RestoreOptions,
  alsoOver: readonly string[] = [],
): Promise<void> {
  if (ref.kind === 'Deployment' || ref.kind === 'Rollout') await cleanHistory(client, workload, signal);
  const ended = [installId, over, ...alsoOver].filter((install) => install !== undefined);
  await sweepOrphans(client, workload, { signal, over: ended });
}
