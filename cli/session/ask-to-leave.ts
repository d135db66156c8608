import type { Report } from '../ui/events.ts';
import { pause } from './backoff.ts';
import { askSession } from './control-socket.ts';
import { isAlive, type SessionRecord } from './state-files.ts';

export interface LeaveTimes {
  /** A session that stands still (a debugger, SIGSTOP) does not answer; one that is busy does within this. */
  readonly answerMs: number;
  /** One that drains and restores may take its time. */
  readonly endMs: number;
  /** Whoever waits for longer is told for what. */
  readonly tellMs: number;
}

export const LEAVE_TIMES: LeaveTimes = { answerMs: 5_000, endMs: 60_000, tellMs: 2_000 };

const POLL_MS = 50;

/** `gone`: it was, already; `stuck`: it is still there, and whoever asks goes on without it. */
export type LeaveOutcome = 'gone' | 'ended' | 'stuck';

/** Asks a session on this laptop to leave, and waits until it has: for an answer only shortly, behind one for as long as a restore takes. */
export async function askToLeave(
  record: SessionRecord,
  report: Report,
  times: LeaveTimes = LEAVE_TIMES,
): Promise<LeaveOutcome> {
  if (!(await isAlive(record))) return 'gone';
  const name = `the session (pid ${record.pid})`;
  const [answerS, endS] = [times.answerMs / 1000, times.endMs / 1000];
  report({ event: 'leaving', reason: `asking ${name}, for at most ${answerS} s` });
  const answered = await askUntilAnswered(record, performance.now() + times.answerMs);
  if (answered === 'ended') return answered;
  if (answered === 'silent') {
    report({
      event: 'warning',
      message: `${name} has not answered for ${answerS} s (is it stopped?): restoring without it; it ends when it goes on`,
    });
    return 'stuck';
  }
  const askedMs = performance.now();
  let told = false;
  while (performance.now() - askedMs < times.endMs) {
    if (!(await isAlive(record))) return 'ended';
    if (!told && performance.now() - askedMs >= times.tellMs) {
      report({ event: 'waiting', for: `${name} to restore, for at most ${endS} s`, seconds: endS });
      told = true;
    }
    await pause(POLL_MS, NEVER);
  }
  report({ event: 'warning', message: `${name} has not ended in ${endS} s: restoring without it` });
  return 'stuck';
}

const NEVER = new AbortController().signal;

/** One that has just started does not listen yet, one that has just ended not any more: it is asked again. */
async function askUntilAnswered(record: SessionRecord, giveUpAtMs: number): Promise<'answered' | 'ended' | 'silent'> {
  for (let leftMs = 1; leftMs > 0; await pause(POLL_MS, NEVER)) {
    leftMs = giveUpAtMs - performance.now();
    const answer = await askSession(record.socket, { method: 'leave', by: 'intercept leave' }, Math.max(1, leftMs));
    if (answer !== undefined) return 'answered';
    if (!(await isAlive(record))) return 'ended';
  }
  return 'silent';
}
