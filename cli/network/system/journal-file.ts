import { chmod, link, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemErrorCode } from '../../../src/errors.ts';
import { isRecord } from '../../../src/is-record.ts';
import { processStart } from '../../session/state-files.ts';
import type { Action } from './change.ts';

/** A process, as a later one can recognise it. */
export interface ProcessMark {
  readonly pid: number;
  readonly start: string | undefined;
}

/** What a system mode has changed on this laptop, and who it is. */
export interface JournalRecord {
  readonly id: string;
  readonly holder: ProcessMark;
  /** `connect -n shop` */
  readonly title: string;
  readonly startedAtMs: number;
  /** In the order of the changes; undone from the end. */
  readonly undo: readonly { readonly what: string; readonly actions: readonly Action[] }[];
}

/** Only root may enter: what is in the journal is run as root. */
export function journalFolder(platform: NodeJS.Platform = process.platform): string {
  if (platform === 'win32') return join(process.env.ProgramData ?? 'C:\\ProgramData', 'kube-intercept');
  return platform === 'linux' ? '/run/kube-intercept' : '/var/run/kube-intercept';
}

const NAME = 'system.json';

export const journalPath = (folder: string): string => join(folder, NAME);

/** @throws when the folder is there and another user's */
export async function prepareFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { uid } = await stat(folder);
  const own = process.getuid?.();
  if (own !== undefined && uid !== own) throw new Error(`${folder} belongs to user ${uid}`);
  await chmod(folder, 0o700);
}

/** Writes a journal whole, and is on disk when it returns. @param exclusive fails with EEXIST where there is one */
export async function writeJournal(folder: string, record: JournalRecord, exclusive: boolean): Promise<void> {
  const path = journalPath(folder);
  const scratch = `${path}.${record.id}`;
  const file = await open(scratch, 'w', 0o600);
  try {
    await file.writeFile(JSON.stringify(record));
    await file.sync();
  } finally {
    await file.close();
  }
  if (!exclusive) return await rename(scratch, path);
  try {
    await link(scratch, path); // unlike rename(2), not over another's
  } finally {
    await rm(scratch, { force: true });
  }
}

/** @returns undefined when there is none, or none that can be read */
export async function readJournal(path: string): Promise<JournalRecord | undefined> {
  const text = await readFile(path, 'utf8').catch(() => ''); // ENOENT
  try {
    const value: unknown = JSON.parse(text);
    return isJournal(value) ? value : undefined;
  } catch {
    return undefined; // cut by a full disk: nothing was changed before it was whole
  }
}

/** As far as what is written by root for root is looked at: nothing of it may make the undoing throw. */
function isJournal(value: unknown): value is JournalRecord {
  if (!isRecord(value) || typeof value.id !== 'string' || !isRecord(value.holder)) return false;
  if (!Number.isSafeInteger(value.holder.pid) || !Array.isArray(value.undo)) return false;
  return value.undo.every(
    (step: unknown) =>
      isRecord(step) && Array.isArray(step.actions) && step.actions.every((action) => isRecord(action)),
  );
}

/**
 * Takes the journal `id` away from its place, for one undoer.
 * @param id undefined: only one that cannot be read
 * @returns where it is now; undefined when another was faster
 */
export async function claimJournal(
  folder: string,
  id: string | undefined,
  by: ProcessMark,
): Promise<string | undefined> {
  const claimed = join(folder, `undoing.${by.pid}.${by.start ?? '-'}.json`);
  try {
    await rename(journalPath(folder), claimed);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  if ((await readJournal(claimed))?.id === id) return claimed;
  await rename(claimed, journalPath(folder)); // between our look and our grip a new session has taken the laptop
  return undefined;
}

/** Journals somebody has begun to undo. */
export async function claimedJournals(folder: string): Promise<{ path: string; by: ProcessMark }[]> {
  const names = await readdir(folder).catch(() => []); // no session has run since the start of the system
  return names.flatMap((name) => {
    const parts = /^undoing\.(\d+)\.([\d-]+)\.json$/.exec(name);
    if (parts === null) return [];
    const start = parts[2] === '-' ? undefined : parts[2];
    return [{ path: join(folder, name), by: { pid: Number(parts[1]), start } }];
  });
}

/** And the folder, which is there for journals only. */
export async function removeJournal(path: string): Promise<void> {
  await rm(path, { force: true });
  await rmdir(dirname(path)).catch(() => {}); // ENOTEMPTY: another session's journal is in it
}

export async function ownMark(): Promise<ProcessMark> {
  return { pid: process.pid, start: await processStart(process.pid) };
}

/** Whether that very process still runs. */
export async function isRunning({ pid, start }: ProcessMark): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemErrorCode(error) !== 'EPERM') return false; // EPERM: it runs, as another user (we are not root)
  }
  // Dead but not waited for by its parent: it will change nothing any more.
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''); // no /proc, or it ended just now
  if (/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))) return false;
  return (await processStart(pid)) === start;
}
