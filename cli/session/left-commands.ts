import { readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '../../src/is-record.ts';
import type { Report } from '../ui/events.ts';
import { endProcess, isRunning, markProcess, type ProcessMark } from './process-mark.ts';
import { privateFolder, stateFolder } from './state-files.ts';

/** A command that ignores SIGTERM for this long is killed: its session is gone, and so is its terminal's owner. */
const ENDS_MS = 5_000;

/** The command of a session, for whoever finds it when both the session and its guardian were killed. */
export interface CommandRecord {
  readonly sessionId: string;
  readonly workload: string;
  readonly namespace: string;
  readonly command: ProcessMark;
  readonly session: ProcessMark;
  /** It ends the command itself, as long as it runs. Undefined: it could not be started. */
  readonly guardian: ProcessMark | undefined;
  readonly place: Place;
}

/** Where pids mean something: start times are counted from the boot, and a container has pids of its own. */
interface Place {
  readonly boot: string;
  readonly pids: string;
}

const folder = (): string => join(stateFolder(), 'commands');
const recordPath = (sessionId: string): string => join(folder(), `${sessionId}.json`);

/** Notes the command of this session; where the system cannot tell a process from its successor there is nothing to note. */
export async function rememberCommand(
  of: Pick<CommandRecord, 'sessionId' | 'workload' | 'namespace' | 'command'>,
  guardianPid: number | undefined,
): Promise<void> {
  const place = await readPlace();
  if (place === undefined || of.command.start === undefined) return;
  const session = await markProcess(process.pid);
  const guardian = guardianPid === undefined ? undefined : await markProcess(guardianPid);
  const record: CommandRecord = { ...of, session, guardian, place };
  await privateFolder(folder());
  const path = recordPath(of.sessionId);
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** The command has ended. */
export async function forgetCommand(sessionId: string): Promise<void> {
  await rm(recordPath(sessionId), { force: true });
}

/** Commands that still run although their session and its guardian are gone. What is noted of others that are gone is removed. */
export async function leftCommands(): Promise<CommandRecord[]> {
  const names = await readdir(folder()).catch(() => []); // no session has had a command yet
  const here = await readPlace();
  const left: CommandRecord[] = [];
  for (const name of names.filter((found) => found.endsWith('.json'))) {
    const record = await readRecord(join(folder(), name));
    if (record === undefined || here === undefined || `${record.sessionId}.json` !== name) continue;
    if (record.place.boot === here.boot) {
      if (record.place.pids !== here.pids) continue; // of a container that shares this home: its pids are not ours
      if (await isRunning(record.session)) continue;
      if (record.guardian !== undefined && (await isRunning(record.guardian))) continue;
      if (await isRunning(record.command)) {
        left.push(record);
        continue;
      }
    }
    await forgetCommand(record.sessionId).catch(() => {}); // the folder is read-only now
  }
  return left;
}

/** Ends commands that were left behind, before their ports are asked for again. Never fails: the user asked for something else. */
export async function endLeftCommands(report: Report, patienceMs = ENDS_MS): Promise<void> {
  const end = async (left: CommandRecord): Promise<void> => {
    const { sessionId, command } = left;
    const whose = describeLeft(left);
    report({ event: 'warning', message: `${whose} still runs: ending it` });
    await endProcess(command, patienceMs);
    if (await isRunning(command))
      report({ event: 'warning', message: `${whose} does not end: kill -9 ${command.pid}` });
    else await forgetCommand(sessionId).catch(() => {}); // the next run
  };
  await Promise.all((await leftCommands()).map(end));
}

export function describeLeft({ workload, namespace, command }: CommandRecord): string {
  return `the command (pid ${command.pid}) of a session of ${workload} in ${namespace} that was killed with its guardian`;
}

async function readPlace(): Promise<Place | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    return { boot: boot.trim(), pids: await readlink('/proc/self/ns/pid') };
  } catch {
    return undefined; // no /proc on this system
  }
}

async function readRecord(path: string): Promise<CommandRecord | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (!isRecord(value) || typeof value.sessionId !== 'string' || !isRecord(value.place)) return undefined;
    if (!isMark(value.command) || !isMark(value.session)) return undefined;
    if (value.guardian !== undefined && !isMark(value.guardian)) return undefined;
    return value as unknown as CommandRecord; // written by rememberCommand of this user
  } catch {
    return undefined; // ENOENT, or another version's
  }
}

/** A pid of 0 or less would mean a process group, or all processes. */
function isMark(value: unknown): boolean {
  return isRecord(value) && Number.isInteger(value.pid) && (value.pid as number) > 1;
}
