import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { TestNamespace } from '../support/cluster.ts';
import { InterceptRun } from '../support/intercept-run.ts';

export const INTERCEPT = fileURLToPath(new URL('../../dist/intercept.mjs', import.meta.url));

/** Starts `intercept … --json` on this machine: no relay between it and the API server, as with the baselines. */
export function startSession(namespace: TestNamespace, args: readonly string[]): InterceptRun {
  const child = spawn(process.execPath, [INTERCEPT, ...args, '--json'], {
    env: { ...process.env, KUBECONFIG: namespace.developerKubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new InterceptRun(child, 'stdout');
}
