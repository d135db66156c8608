import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { GuardianMessage, GuardianTask } from '../../../cli/session/guardian.ts';
import type { ProcessMark } from '../../../cli/session/process-mark.ts';
import { waitFor } from '../../cluster/exec.ts';

/**
 * Starts a guardian whose session is gone at once and whose cluster is not to be reached, and waits for what it does first.
 * @param folder where no kubeconfig is
 * @param isDone asked again and again
 * @param command what the session has started
 */
export async function runLoneGuardian(
  folder: string,
  fields: Partial<GuardianTask>,
  isDone: () => Promise<boolean>,
  command?: ProcessMark,
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
    const messages: GuardianMessage[] = [{ type: 'task', task }];
    if (command !== undefined) messages.push({ type: 'command', command });
    guardian.stdin?.end(messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
    await waitFor(async () => ((await isDone()) ? true : undefined), {
      timeoutMs: 20_000,
      onTimeout: () => new Error('what the session made is still there'),
    });
  } finally {
    guardian.kill('SIGKILL');
  }
}
