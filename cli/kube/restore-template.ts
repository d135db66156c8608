import { ANNOTATION_PATH, readInstall, recordText } from './annotation.ts';
import { ChangeList } from './change-list.ts';
import {
  applyChanges,
  type Change,
  changeOf,
  type PathStep,
  revertChanges,
  sameJson,
  storedChange,
} from './changes.ts';
import type { KubeClient } from './client.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import { labelSelectorText, type Workload, type WorkloadRef, workloadsPath } from './objects.ts';
import { controllerOf } from './owners.ts';
import { containerPath, portUsers } from './plan-ports.ts';
import { withoutAgent } from './plan-service.ts';
import { keepCountDuringRollout } from './plan-strategy.ts';
import { portContainers } from './pod-ports.ts';
import type { InstallRecord } from './record.ts';

/**
 * The workload with its template back and everything else as it is: surge settings and annotation stay until the rollout is
 * complete. Where the count has grown since, so that the way out would go below it, the settings are changed (and recorded) now. Pure.
 */
export function templateRestored(ref: WorkloadRef, workload: Workload): Workload {
  const state = readInstall(workload);
  if (!('record' in state)) return workload;
  const { record } = state;
  const followed = { ...record, changes: followRenames(workload, record.changes) };
  const list = new ChangeList(withoutAliases(withoutAgent(workload, followed), record));
  if (state.state === 'installed') keepCountDuringRollout(ref.kind, list);
  if (list.changes.length === 0) return list.object;
  const renewed = { ...record, changes: [...record.changes, ...list.changes.map(storedChange)] };
  return applyChanges(list.object, [{ path: ANNOTATION_PATH, now: recordText(renewed, workload) }]);
}

/**
 * The changes, with those of a container that is not there any more made those of the one that carries what we have put into it:
 * a colleague has renamed it. Pure.
 */
function followRenames(workload: Workload, changes: readonly Change[]): Change[] {
  const { containers } = workload.spec.template.spec;
  const renamed = new Map<string, string>();
  for (const { path, now } of changes) {
    const name = containerOf(path);
    if (name === undefined || now === undefined || path.length <= CONTAINER_DEPTH) continue;
    if (containers.some((container) => container.name === name)) continue;
    const other = containers.find(
      (container) => changeOf(workload, inContainer(path, container.name), now) === undefined,
    );
    if (other !== undefined) renamed.set(name, other.name);
  }
  return changes.map((change) => {
    const to = renamed.get(containerOf(change.path) ?? '');
    return to === undefined ? change : { ...change, path: inContainer(change.path, to) };
  });
}

/** `spec.template.spec.containers[name=app]`: a path into a container goes on from there. */
const CONTAINER_DEPTH = 5;

function containerOf(path: readonly PathStep[]): string | undefined {
  const step = path[CONTAINER_DEPTH - 1];
  if (path[3] !== 'containers' || typeof step !== 'object') return undefined;
  return typeof step.match.name === 'string' ? step.match.name : undefined;
}

function inContainer(path: readonly PathStep[], name: string): PathStep[] {
  return [...path.slice(0, CONTAINER_DEPTH - 1), { match: { name } }, ...path.slice(CONTAINER_DEPTH)];
}

/**
 * The template without the names that we have given the app's ports: a container that a colleague has renamed has such a port
 * still, which the Service would not find; and a probe that was written meanwhile may ask for it. Pure.
 */
function withoutAliases(workload: Workload, record: InstallRecord): Workload {
  const renames = record.changes.flatMap(renameOf);
  let changed = workload;
  for (const { alias, name } of renames) {
    const { template } = workload.spec;
    for (const container of portContainers(template)) {
      const path = containerPath(template, container);
      for (const [nth, port] of (container.ports ?? []).entries())
        if (port.name === alias)
          changed = applyChanges(changed, [{ path: [...path, 'ports', { match: {}, nth }, 'name'], now: name }]);
      for (const user of portUsers(container))
        if (user.port === alias)
          changed = applyChanges(changed, [{ path: [...path, ...user.path, 'port'], now: name }]);
    }
  }
  return changed;
}

/** A change that has renamed a port: `…ports[containerPort=8080].name` from `http` to `ki-http`. */
function renameOf({ path, was, now, ours }: Change): { alias: string; name: string }[] {
  const isRename = ours === undefined && path.at(-1) === 'name' && path.at(-3) === 'ports';
  return isRename && typeof was === 'string' && typeof now === 'string' ? [{ alias: now, name: was }] : [];
}

/**
 * The annotation's text of a Deployment or Rollout from which somebody has taken it: its controller keeps a copy on the
 * ReplicaSet. @returns undefined where none `fits`. @throws InterceptorError CLUSTER_*
 */
export async function lostRecordText(
  client: KubeClient,
  ref: WorkloadRef,
  workload: Workload,
  fits: (text: string) => boolean,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (ref.kind !== 'Deployment' && ref.kind !== 'Rollout') return undefined;
  const sets = await client.list(workloadsPath('ReplicaSet', ref.namespace), {
    labelSelector: labelSelectorText(workload.spec.selector),
    signal,
  });
  const texts = sets.items
    .filter((set) => controllerOf(set)?.uid === workload.metadata.uid)
    .flatMap(({ metadata }) => metadata.annotations?.[INTERCEPT_ANNOTATION] ?? []);
  return texts.find(fits);
}

/** Whether an annotation's text is of the agent that the template has: its volumes name the install's objects. Pure. */
export function isRecordOf(text: string, workload: Workload): boolean {
  const state = readInstall(withAnnotation(workload, text));
  if (state.state !== 'installed') return false;
  const { configMap } = state.record;
  return (workload.spec.template.spec.volumes ?? []).some(
    (volume) => (volume as { configMap?: { name?: string } }).configMap?.name === configMap,
  );
}

/** The workload with the annotation put back. Pure. */
export function withAnnotation(workload: Workload, text: string): Workload {
  return applyChanges(workload, [{ path: ANNOTATION_PATH, now: text }]);
}

/**
 * The workload with the settings of its rollout put back. `kubectl rollout undo` puts back the template, and with it the annotations
 * of then, ours not among them, and nothing else. @param text of the annotation that was there. Pure.
 */
export function settingsRestored(workload: Workload, text: string): Workload {
  const settings = settingsOf(workload, text);
  return settings === undefined ? workload : revertChanges(workload, settings);
}

/** Whether the old pods are held still by an install that the annotation's text is of, and that is not there any more. Pure. */
export function isHeldBy(text: string, workload: Workload): boolean {
  const hold = settingsOf(workload, text)?.filter(({ path }) => path[1] === 'minReadySeconds') ?? [];
  return hold.length > 0 && !sameJson(revertChanges(workload, hold), workload);
}

/** Changes outside the template; undefined where the agent is in it, or the text cannot be read. */
function settingsOf(workload: Workload, text: string): Change[] | undefined {
  const state = readInstall(withAnnotation(workload, text));
  if (state.state !== 'restoring') return undefined;
  const { changes, hold = [] } = state.record;
  return [...changes, ...hold].filter(({ path }) => path[0] === 'spec' && path[1] !== 'template');
}
