import { readFile } from 'node:fs/promises';
import { pause } from './backoff.ts';
import { kill, killTree } from './command.ts';
import { processStart } from './state-files.ts';

const POLL_MS = 100;
/** What was killed is gone by then, but for one that waits for a disk or a network file system. */
const KILLED_MS = 2_000;

/** A process, told from another one that gets its pid later. */
export interface ProcessMark {
  readonly pid: number;
  /** As processStart(); undefined where the system does not tell: such a process is never known again. */
  readonly start: string | undefined;
}

export async function markProcess(pid: number): Promise<ProcessMark> {
  return { pid, start: await processStart(pid) };
}

/** Whether that very process still runs, and is this user's: a pid used again is somebody else, and so is one that has become root. */
export async function isRunning({ pid, start }: ProcessMark): Promise<boolean> {
  if (start === undefined || (await processStart(pid)) !== start) return false;
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => ''); // it has just ended
  const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
  return uid !== undefined && Number(uid) === process.getuid?.() && !/^State:\s+[ZX]/m.test(status);
}

/** Asks the process to end; one that has not ended after `patienceMs` is killed with all that it has started. */
export async function endProcess(mark: ProcessMark, patienceMs: number): Promise<void> {
  // On Linux one without a start had ended before it could be marked: its pid may be anybody's by now.
  if ((mark.start !== undefined || process.platform === 'linux') && !(await isRunning(mark))) return;
  kill(mark.pid, 'SIGTERM');
  const never = new AbortController().signal;
  let giveUpAt = performance.now() + patienceMs;
  let killed = false;
  while (await isRunning(mark)) {
    if (performance.now() >= giveUpAt) {
      if (killed) return;
      await killTree(mark.pid);
      killed = true;
      giveUpAt = performance.now() + KILLED_MS;
    }
    await pause(POLL_MS, never);
  }
}
