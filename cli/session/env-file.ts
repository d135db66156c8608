import { open, readFile, rm } from 'node:fs/promises';
import { errorText, InterceptorError, systemErrorCode } from '../../src/errors.ts';
import { formatDotenv } from './environment.ts';

const MARK = '# written by kube-intercept, removed when the intercept ends';

/**
 * Writes the pod's environment as dotenv, mode 0600. A file that is somebody else's is never written over.
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export async function writeEnvFile(path: string, variables: Readonly<Record<string, string>>): Promise<void> {
  try {
    const before = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (before !== undefined && !before.startsWith(MARK)) throw new Error('the file exists and is not ours');
    await rm(path, { force: true }); // its mode may be wider than 0600
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(`${MARK}\n${formatDotenv(variables)}`);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new InterceptorError('USAGE_BAD_OPTION', `--env-file ${path}: ${errorText(cause)}`, {
      hint: 'name a file that does not exist yet',
      cause,
    });
  }
}

export async function removeEnvFile(path: string): Promise<void> {
  await rm(path, { force: true });
}
