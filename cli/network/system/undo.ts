import { setTimeout as delay } from 'node:timers/promises';
import { errorText } from '../../../src/errors.ts';
import {
  claimedJournals,
  claimJournal,
  isRunning,
  type JournalRecord,
  journalFolder,
  journalPath,
  ownMark,
  readJournal,
  removeJournal,
} from './journal-file.ts';
import { perform } from './perform.ts';
import { restoreResolvConf } from './resolv-conf-file.ts';

/** As long as another process may take to undo before we do it too. */
const OTHER_UNDOER_MS = 10_000;
const POLL_MS = 50;
const RESOLV_CONF = '/etc/resolv.conf';

export interface Undone {
  /** For people, in the order it was done. */
  readonly what: readonly string[];
  readonly failures: readonly string[];
}

/** Takes back a journal's changes, last first; goes on where one fails. */
export async function undoRecord(record: JournalRecord): Promise<Undone> {
  const what: string[] = [];
  const failures: string[] = [];
  for (const step of [...record.undo].reverse()) {
    for (const action of step.actions) {
      await perform(action).catch((error: unknown) => failures.push(`${step.what}: ${errorText(error)}`));
    }
    what.push(step.what);
  }
  return { what, failures };
}

/** The session that holds this laptop now. */
export async function systemHolder(folder: string = journalFolder()): Promise<JournalRecord | undefined> {
  const record = await readJournal(journalPath(folder));
  return record !== undefined && (await isRunning(record.holder)) ? record : undefined;
}

export interface LeftoverOptions {
  readonly folder?: string;
  readonly resolvConf?: string;
  /** Only the journal of this session (its guardian undoes no other's). */
  readonly onlyId?: string;
}

/**
 * Undoes what a killed system mode left on this laptop; nothing of a running one. For the start of every command that runs
 * as root; without root there is nothing to be read, and nothing is done.
 */
export async function undoLeftovers(options: LeftoverOptions = {}): Promise<Undone> {
  const folder = options.folder ?? journalFolder();
  const total = { what: [] as string[], failures: [] as string[] };
  if (process.getuid !== undefined && process.getuid() !== 0) return total;
  const add = ({ what, failures }: Undone): void => {
    total.what.push(...what);
    total.failures.push(...failures);
  };
  for (const { path, by } of await claimedJournals(folder)) {
    const endAt = Date.now() + OTHER_UNDOER_MS;
    while ((await isRunning(by)) && (await readJournal(path)) !== undefined && Date.now() < endAt) await delay(POLL_MS);
    add(await undoFile(path));
  }
  const record = await readJournal(journalPath(folder));
  if (record !== undefined && (await isRunning(record.holder))) return total;
  if (options.onlyId !== undefined && record?.id !== options.onlyId) return total;
  // One that cannot be read is nobody's: a session's is whole from the start.
  const claimed = await claimJournal(folder, record?.id, await ownMark());
  if (claimed !== undefined) add(await undoFile(claimed));
  // After a power cut /run is empty, and resolv.conf still says what it was.
  const path = options.resolvConf ?? RESOLV_CONF;
  if ((await systemHolder(folder)) !== undefined) return total; // it came meanwhile
  const restored = process.platform === 'linux' && (await restoreResolvConf(path).catch(() => false)); // unreadable: not ours
  if (restored && total.what.length === 0) total.what.push(`nameserver in ${path}`);
  return total;
}

async function undoFile(path: string): Promise<Undone> {
  const record = await readJournal(path);
  if (record === undefined) {
    await removeJournal(path);
    return { what: [], failures: [] };
  }
  const undone = await undoRecord(record);
  await removeJournal(path);
  return undone;
}

/** Waits for the end of the session that holds a journal, and undoes it: the guardian's work. */
export async function undoWhenGone(task: {
  readonly folder: string;
  readonly journalId: string;
  readonly resolvConf: string;
}): Promise<void> {
  const mine = async (): Promise<boolean> => (await systemHolder(task.folder))?.id === task.journalId;
  while (await mine()) await delay(POLL_MS); // its input has ended: it is about to
  await undoLeftovers({ folder: task.folder, onlyId: task.journalId, resolvConf: task.resolvConf });
}
