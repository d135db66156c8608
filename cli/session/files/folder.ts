import { lstat, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { isRecord } from '../../../src/is-record.ts';
import { isAlive, privateFolder, processStart, stateFolder } from '../state-files.ts';

/** One session's folder of copies: `root` is $INTERCEPT_ROOT, `staging` on the same disk is where files arrive. */
export interface FilesFolder {
  readonly sessionId: string;
  readonly path: string;
  readonly root: string;
  readonly staging: string;
}

/** Kept in the state folder, which stays the same where XDG_RUNTIME_DIR does not (sudo, cron, another login). */
interface FolderRecord {
  readonly sessionId: string;
  readonly pid: number;
  readonly processStart: string | undefined;
  readonly folder: string;
}

/** Inside the folder: names the session that made it. Without it nothing is deleted. */
const MARK = 'session';

const recordsFolder = (): string => join(stateFolder(), 'files');
const recordPath = (sessionId: string): string => join(recordsFolder(), `${sessionId}.json`);

/** Makes the session's folder, which only its user may enter. @throws system errors */
export async function makeFilesFolder(sessionId: string, env: NodeJS.ProcessEnv = process.env): Promise<FilesFolder> {
  if (!/^[\w-]{1,64}$/.test(sessionId)) throw new Error('not a session id');
  const base = (await runtimeFolder(env)) ?? join(stateFolder(env), 'files');
  await privateFolder(recordsFolder());
  await privateFolder(base);
  const path = join(base, sessionId);
  const { pid } = process;
  const record: FolderRecord = { sessionId, pid, processStart: await processStart(pid), folder: path };
  await writeFile(recordPath(sessionId), JSON.stringify(record), { mode: 0o600 }); // first: a kill leaves nothing unknown
  await mkdir(path, { mode: 0o700 });
  await writeFile(join(path, MARK), sessionId, { mode: 0o600 });
  const folder = { sessionId, path, root: join(path, 'root'), staging: join(path, 'staging') };
  await mkdir(folder.root, { mode: 0o700 });
  await mkdir(folder.staging, { mode: 0o700 });
  return folder;
}

/** Removes a session's copies: at its end, or by its guardian after a kill. Removes nothing that session did not make. */
export async function removeSessionFiles(sessionId: string): Promise<void> {
  const record = await readRecord(recordPath(sessionId));
  if (record?.sessionId !== sessionId) return;
  await removeFolder(record);
  await rm(recordPath(sessionId), { force: true });
}

/** Removes the copies of sessions of this user that were killed with their guardian. */
export async function removeLeftFiles(): Promise<void> {
  const names = await readdir(recordsFolder()).catch(() => []); // no session has copied anything yet
  for (const name of names.filter((found) => found.endsWith('.json'))) {
    const record = await readRecord(join(recordsFolder(), name));
    if (record === undefined || `${record.sessionId}.json` !== name || (await isAlive(record))) continue;
    await removeSessionFiles(record.sessionId).catch(() => {}); // not ours to change any more: a disk that is read-only
  }
}

/** XDG_RUNTIME_DIR is in memory and goes with the login; taken where it is what the specification asks for. */
async function runtimeFolder(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const path = env.XDG_RUNTIME_DIR;
  if (path === undefined || !isAbsolute(path) || process.platform === 'win32') return undefined;
  const found = await stat(path).catch(() => undefined); // not there
  if (found === undefined || !found.isDirectory()) return undefined;
  if (found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) return undefined;
  return join(path, 'kube-intercept');
}

/** A link, another user's folder, or one without our mark is left alone. */
async function removeFolder(record: FolderRecord): Promise<void> {
  if (basename(record.folder) !== record.sessionId) return;
  const found = await lstat(record.folder).catch(() => undefined); // ENOENT: not made, or gone with the login
  if (found === undefined || !found.isDirectory()) return;
  if (process.platform !== 'win32' && found.uid !== process.getuid?.()) return;
  const names = await readdir(record.folder);
  const mark = await readFile(join(record.folder, MARK), 'utf8').catch(() => undefined); // ENOENT: killed while making it
  if (mark !== record.sessionId && names.some((name) => name !== MARK)) return;
  // The mark goes last: what is interrupted half-way is known to be ours by the next run.
  for (const name of names.filter((found) => found !== MARK))
    await rm(join(record.folder, name), { recursive: true, force: true });
  await rm(record.folder, { recursive: true, force: true });
}

async function readRecord(path: string): Promise<FolderRecord | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (!isRecord(value)) return undefined;
    const { sessionId, pid, processStart: start, folder } = value;
    if (typeof sessionId !== 'string' || typeof pid !== 'number' || typeof folder !== 'string') return undefined;
    return { sessionId, pid, processStart: typeof start === 'string' ? start : undefined, folder };
  } catch {
    return undefined; // ENOENT, or cut by a full disk
  }
}
