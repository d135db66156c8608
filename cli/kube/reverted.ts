import { isRecord } from '../../src/is-record.ts';
import { readInstall } from './annotation.ts';
import { type Change, pathText, sameJson, undoneChanges } from './changes.ts';
import { FIELD_MANAGER, type KubeObject } from './client.ts';
import type { Workload } from './objects.ts';
import type { InstallRecord } from './record.ts';

/** Writes status, revision and scale of what others have decided. */
const CONTROLLER = 'kube-controller-manager';

/**
 * Why an intercept of this install does not hold any more, for people; undefined while it does. A tool that applies its manifest
 * over ours takes the names of ports back and leaves the agent in: callers get the app then. Pure.
 */
export function revertText(workload: Workload, installId: string): string | undefined {
  const install = readInstall(workload);
  if (install.state !== 'installed') return 'the agent has been taken out of its template';
  if (install.record.installId !== installId) return 'another agent has been put into its template';
  const [first] = undoneInTemplate(workload, install.record);
  return first === undefined ? undefined : `${pathText(first.path)} has been put back`;
}

/** What an install has changed of the pod template that callers find the agent by; how pods end is not. */
export function undoneInTemplate(workload: Workload, { changes }: InstallRecord): Change[] {
  const isOfEnd = ({ path }: Change): boolean =>
    path.includes('lifecycle') || path.at(-1) === 'terminationGracePeriodSeconds';
  return undoneChanges(
    workload,
    changes.filter((change) => change.path[0] === 'spec' && change.path[1] === 'template' && !isOfEnd(change)),
  );
}

/**
 * Who has written an object between two looks at it: the field manager whose entry is new or changed, the latest where there
 * are several; controllers that only follow what others write do not count. Pure.
 * @returns undefined where it cannot be told; FIELD_MANAGER where nobody but this program has
 */
export function whoChanged(before: KubeObject | undefined, after: KubeObject): string | undefined {
  const known = before === undefined ? [] : entriesOf(before);
  const changed = entriesOf(after).filter(
    (entry) =>
      entry.manager !== CONTROLLER &&
      entry.subresource !== 'status' &&
      !known.some(
        (other) => sameEntry(other, entry) && sameJson(other.fields, entry.fields) && other.time === entry.time,
      ),
  );
  const others = changed.filter(({ manager }) => manager !== FIELD_MANAGER);
  const [latest] = (others.length > 0 ? others : changed).sort((a, b) => b.time.localeCompare(a.time));
  return latest?.manager;
}

interface Entry {
  readonly manager: string;
  readonly operation: unknown;
  readonly subresource: unknown;
  readonly time: string;
  readonly fields: unknown;
}

function sameEntry(a: Entry, b: Entry): boolean {
  return a.manager === b.manager && a.operation === b.operation && a.subresource === b.subresource;
}

function entriesOf({ metadata: { managedFields } }: KubeObject): Entry[] {
  const entries: unknown[] = Array.isArray(managedFields) ? managedFields : [];
  return entries.flatMap((entry) => {
    if (!isRecord(entry) || typeof entry.manager !== 'string') return [];
    const { manager, operation, subresource, time, fieldsV1: fields } = entry;
    return [{ manager, operation, subresource, time: typeof time === 'string' ? time : '', fields }];
  });
}
