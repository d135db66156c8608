import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const UNSUPPORTED_EXIT_CODE = 3;

/**
 * Runs `npm run cluster -- up`. A machine that cannot run a cluster is a reason not to run tests; a cluster that should come
 * up and does not is an error.
 */
export async function bringOwnClusterUp(): Promise<{ kubeconfig: string } | { notRun: string }> {
  const script = fileURLToPath(new URL('../cluster/main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), script, 'up'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    process.stderr.write(text); // a first run builds for minutes: show that it moves
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === UNSUPPORTED_EXIT_CODE) return { notRun: stderr.trim() };
  const kubeconfig = stdout.trim().split('\n').at(-1);
  if (code !== 0 || !kubeconfig) throw new Error(`the test cluster does not come up:\n${stderr.trim()}`);
  return { kubeconfig };
}
