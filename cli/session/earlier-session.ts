import { isRecord } from '../../src/is-record.ts';
import { pause } from './backoff.ts';
import { askSession } from './control-socket.ts';
import type { HostRef } from './host.ts';
import { isAlive, readSessionRecords, type SessionRecord } from './state-files.ts';

/** A restore takes as long as a rollout; one that is stuck holds nobody up for ever. */
const RESTORE_DEADLINE_MS = 60_000;
const ASK_MS = 2_000;
const POLL_MS = 100;

export interface RestoreWait {
  readonly signal: AbortSignal;
  /** Called once, when there is something to wait for. */
  readonly onWait: () => void;
  readonly deadlineMs?: number;
}

/**
 * Waits while a session of this laptop gives the workload back: its agent, used again now, would be taken out under our feet.
 * Returns when there is none, at the deadline, or with the signal.
 * @param server the cluster's address, as in session records
 */
export async function untilRestored(ref: HostRef, server: string, options: RestoreWait): Promise<void> {
  const { signal, onWait, deadlineMs = RESTORE_DEADLINE_MS } = options;
  const endMs = performance.now() + deadlineMs;
  let told = false;
  while (!signal.aborted && performance.now() < endMs && (await isBeingRestored(ref, server))) {
    if (!told) onWait();
    told = true;
    await pause(POLL_MS, signal);
  }
}

async function isBeingRestored(ref: HostRef, server: string): Promise<boolean> {
  const records = (await readSessionRecords()).filter(
    (record) =>
      record.server === server &&
      record.namespace === ref.namespace &&
      record.workloadKind === ref.kind &&
      record.workloadName === ref.name &&
      record.pid !== process.pid,
  );
  const leaving = await Promise.all(records.map(isLeaving));
  return leaving.includes(true);
}

async function isLeaving(record: SessionRecord): Promise<boolean> {
  if (!(await isAlive(record))) return false;
  const status = await askSession(record.socket, { method: 'status' }, ASK_MS);
  return isRecord(status) && status.state === 'leaving';
}
