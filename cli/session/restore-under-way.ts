import { isRecord } from '../../src/is-record.ts';
import type { KubeObject } from '../kube/client-types.ts';

/** A restore waits for its rollout, whose every step changes the workload; one that has changed nothing for this long has stopped. */
export const RESTORE_QUIET_MS = 30_000;

/**
 * Whether a workload that is half restored has been changed a moment ago, so that somebody's session may be at it. By the
 * API server's times: where there are none, or clocks differ by more, nobody is taken to be. Pure.
 */
export function mayBeRestoring({ metadata }: Pick<KubeObject, 'metadata'>, nowMs: number): boolean {
  const { managedFields } = metadata;
  const entries: unknown[] = Array.isArray(managedFields) ? managedFields : [];
  return entries.some((entry) => {
    if (!isRecord(entry) || typeof entry.time !== 'string') return false;
    return Math.abs(nowMs - Date.parse(entry.time)) < RESTORE_QUIET_MS;
  });
}
