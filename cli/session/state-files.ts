import { chmod, lstat, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Filter } from '../../src/http/filter.ts';
import { isRecord } from '../../src/is-record.ts';
import type { PortReport } from '../ui/events.ts';
import type { DirectRecord } from './direct/record.ts';

/** What a session tells its user's other commands about itself: one file a session, 0600, in a 0700 folder. */
export interface SessionRecord {
  readonly sessionId: string;
  readonly pid: number;
  /** Tells a live session from another process that got its pid: see processStart(). */
  readonly processStart: string | undefined;
  readonly startedAtMs: number;
  readonly context: string;
  readonly kubeconfig: string | undefined;
  readonly server: string;
  readonly namespace: string;
  readonly target: string;
  readonly workloadKind: string;
  readonly workloadName: string;
  readonly service: string | undefined;
  /** The Services whose callers the session takes, with their cluster addresses. */
  readonly services: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly ports: readonly PortReport[];
  /** Undefined: everything on the ports. */
  readonly filter: Filter | undefined;
  readonly mirror: boolean;
  readonly socket: string;
  /** Undefined: other sessions of this user call its process through the cluster. */
  readonly direct: DirectRecord | undefined;
  /** Absolute path of --env-file. */
  readonly envFile: string | undefined;
}

/** `$XDG_STATE_HOME/kube-intercept`, by default below ~/.local/state (XDG Base Directory 0.8). */
export function stateFolder(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_STATE_HOME;
  return join(base?.startsWith('/') ? base : join(homedir(), '.local', 'state'), 'kube-intercept');
}

const sessionsFolder = (): string => join(stateFolder(), 'sessions');

/** The longest path a UNIX socket may have on every system (macOS: 104 bytes with the NUL). */
const MAX_SOCKET_PATH_BYTES = 103;

/** Where a session's control socket is: a folder that only its user may enter. */
export async function controlSocketPath(sessionId: string): Promise<string> {
  if (process.platform === 'win32') return `\\\\.\\pipe\\kube-intercept-${sessionId}`;
  for (const folder of [join(stateFolder(), 'run'), join(tmpdir(), `kube-intercept-${process.getuid?.() ?? 0}`)]) {
    const path = join(folder, `${sessionId}.sock`);
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) continue;
    await privateFolder(folder);
    return path;
  }
  throw new Error('no folder with a path short enough for a socket');
}

/**
 * Makes the folder if needed and sees to it that only its user may enter. Where others may write (/tmp) somebody else can be
 * first with a folder, or a link: that is not taken, not even by root, who could.
 * @throws Error when it is another user's, or no folder
 */
export async function privateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const found = await lstat(path);
  if (!found.isDirectory()) throw new Error(`${path} is not a folder`);
  if (process.getuid !== undefined && !ownUids().includes(found.uid))
    throw new Error(`${path} is another user's folder`);
  await chmod(path, 0o700);
}

/** The user's own; with sudo also that of who is root by it, whose home it may be. */
function ownUids(): readonly (number | undefined)[] {
  const uid = process.getuid?.();
  const sudo = Number(process.env.SUDO_UID);
  return uid === 0 && Number.isInteger(sudo) ? [uid, sudo] : [uid];
}

export async function writeSessionRecord(record: SessionRecord): Promise<void> {
  await privateFolder(sessionsFolder());
  const path = recordPath(record.sessionId);
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path); // readers see the old or the new record, never half of one
}

/** Removes what a session has in the folder: its record and its sockets. */
export async function removeSessionRecord(
  record: Pick<SessionRecord, 'sessionId' | 'socket' | 'direct'>,
): Promise<void> {
  await rm(recordPath(record.sessionId), { force: true });
  await rm(record.socket, { force: true });
  if (record.direct !== undefined) await rm(record.direct.socket, { force: true });
}

/** All records in the folder, of live and of dead sessions; unreadable ones are left out. */
export async function readSessionRecords(): Promise<SessionRecord[]> {
  const names = await readdir(sessionsFolder()).catch(() => []); // no session has run yet
  const records = await Promise.all(
    names
      .filter((name) => name.endsWith('.json'))
      .map(async (name) => parseRecord(await readFile(join(sessionsFolder(), name), 'utf8').catch(() => ''))),
  );
  return records.filter((record) => record !== undefined);
}

/** Whether the record's process still runs. */
export async function isAlive(record: Pick<SessionRecord, 'pid' | 'processStart'>): Promise<boolean> {
  try {
    process.kill(record.pid, 0);
  } catch {
    return false; // ESRCH: gone; EPERM: the pid is another user's process now
  }
  return (await processStart(record.pid)) === record.processStart;
}

/** The process's start in clock ticks since boot (proc(5) stat, field 22); undefined where there is no /proc. */
export async function processStart(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''); // no /proc, or it ended
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

function recordPath(sessionId: string): string {
  return join(sessionsFolder(), `${sessionId}.json`);
}

function parseRecord(text: string): SessionRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value) || typeof value.sessionId !== 'string' || typeof value.pid !== 'number') return undefined;
    if (typeof value.namespace !== 'string' || typeof value.workloadName !== 'string') return undefined;
    return value as unknown as SessionRecord; // written by writeSessionRecord of this user
  } catch {
    return undefined; // a record of another version, or cut by a full disk
  }
}
