import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { GuardianMessage, GuardianTask } from '../../../cli/session/guardian.ts';
import { waitFor } from '../../cluster/exec.ts';

/**
 * Starts a guardian whose session is gone at once and whose cluster is not to be reached, and waits for what it does first.
 * @param folder where no kubeconfig is
 * @param isDone asked again and again
 */
export async function runLoneGuardian(
  folder: string,
  fields: Partial<GuardianTask>,
  isDone: () => Promise<boolean>,
): Promise<void> {
  const script = new URL('../../../cli/session/guardian-main.ts', import.meta.url).pathname;
  const guardian: ChildProcess = spawn(process.execPath, ['--import', 'tsx', script], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  try {
    const task: GuardianTask = {
      sessionId: 'abc',
      kubeconfig: join(folder, 'no-kubeconfig'),
      context: 'none',
      namespace: 'shop',
      workloadKind: 'Deployment',
      workloadName: 'web',
      workloadUid: 'uid',
      installId: 'none',
      keepAgent: false,
      socket: join(folder, 'x.sock'),
      direct: undefined,
      envFile: undefined,
      ...fields,
    };
    const message: GuardianMessage = { type: 'task', task };
    guardian.stdin?.end(`${JSON.stringify(message)}\n`);
    await waitFor(async () => ((await isDone()) ? true : undefined), {
      timeoutMs: 20_000,
      onTimeout: () => new Error('what the session made is still there'),
    });
  } finally {
    guardian.kill('SIGKILL');
  }
}
