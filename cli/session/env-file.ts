import { access, constants, lstat, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorText, InterceptorError, systemErrorCode } from '../../src/errors.ts';
import { formatDotenv } from './env-formats/dotenv.ts';

const MARK = '# written by kube-intercept';

/** The first line names the session: whoever removes the file, now or after a crash, knows whose it is. */
const firstLine = (sessionId: string): string =>
  `${MARK} for session ${sessionId}, removed when the intercept ends: edits are lost\n`;

/**
 * Whether `--env-file` can be written: its folder is there and writable, and the file is absent or of ours.
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export async function requireEnvFile(path: string): Promise<void> {
  const folder = dirname(path);
  const parent = await stat(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT')
      throw badEnvFile(path, `there is no folder ${folder}`, `make it first: mkdir -p '${folder}'`);
    throw cannot(path, error);
  });
  if (!parent.isDirectory()) throw badEnvFile(path, `${folder} is not a folder`, 'name a file in a folder');
  const found = await lstat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw cannot(path, error);
  });
  if (found?.isDirectory())
    throw badEnvFile(path, 'it is a folder', `name a file in it: --env-file ${join(path, '.env')}`);
  if (found !== undefined && !found.isFile()) throw notOurs(path, 'it is a link or a device'); // writing would replace it
  if (found !== undefined) {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      throw cannot(path, error);
    });
    if (!text.startsWith(MARK)) throw notOurs(path, 'the file exists and is not ours');
  }
  await access(folder, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw cannot(path, error);
  });
}

/**
 * Writes the pod's environment as dotenv, mode 0600. A file that is somebody else's is never written over.
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export async function writeEnvFile(
  path: string,
  sessionId: string,
  variables: Readonly<Record<string, string>>,
): Promise<void> {
  await requireEnvFile(path);
  try {
    await rm(path, { force: true }); // its mode may be wider than 0600
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(`${firstLine(sessionId)}${formatDotenv(variables)}`);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw cannot(path, error);
  }
}

/** Removes the file if that session has written it, and nobody else's: not the user's own, not a later session's. */
export async function removeEnvFile(path: string, sessionId: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined); // ENOENT: never written, or removed by the user
  if (found === undefined || !found.isFile()) return;
  const text = await readFile(path, 'utf8').catch(() => ''); // EACCES: not the mode that we give
  if (text.startsWith(firstLine(sessionId))) await rm(path, { force: true });
}

function cannot(path: string, cause: unknown): InterceptorError {
  const code = systemErrorCode(cause);
  const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  const why = denied ? `no permission (${code})` : errorText(cause);
  return badEnvFile(path, why, 'name a file in a folder that you may write to', cause);
}

function notOurs(path: string, why: string): InterceptorError {
  return badEnvFile(path, why, 'name a file that does not exist yet');
}

function badEnvFile(path: string, why: string, hint: string, cause?: unknown): InterceptorError {
  return new InterceptorError('USAGE_BAD_OPTION', `--env-file ${path}: ${why}`, { hint, cause });
}
