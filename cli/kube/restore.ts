import type { CallControl } from './apply.ts';
import type { KubeClient } from './client.ts';
import type { WorkloadRef } from './objects.ts';
import type { RolloutProgress } from './rollout.ts';

export interface RestoreOptions {
  readonly signal?: AbortSignal | undefined;
  /** Only this install (a session's own); without it, whatever install is there. */
  readonly installId?: string | undefined;
  /** False: return once traffic and template are back; what is left is done by whoever restores next. Default true. */
  readonly waitForRollout?: boolean | undefined;
  readonly deadlineMs?: number | undefined;
  onProgress?: ((step: RestoreStep) => void) | undefined;
}

export type RestoreStep =
  | { readonly step: 'service'; readonly service: string }
  | { readonly step: 'workload' }
  | ({ readonly step: 'rollout' } & RolloutProgress)
  | { readonly step: 'cleaned' };

/** `nothing`: no install of ours was there; `partly`: waitForRollout was false and pods with the agent may still run. */
export type RestoreResult = {
  readonly outcome: 'restored' | 'nothing' | 'partly';
  readonly service: string | undefined;
};

/**
 * Takes an install out: Service first, then the template, rollout, then strategy and annotation, then ConfigMap and Secret.
 * Needs only the annotations. Safe to repeat, at the same time by several people, and after any step of an install or restore.
 * @throws InterceptorError ROLLOUT_FAILED (RESTORE_INCOMPLETE when the deadline passes), CLUSTER_*
 */
export async function restore(
  client: KubeClient,
  ref: WorkloadRef,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  throw new Error(`not built yet ${String(client)} ${String(ref)} ${String(options)}`);
}

/** Puts only the Service back (numeric target ports): the end of a session that keeps the agent. Safe to repeat. */
export async function restoreService(
  client: KubeClient,
  namespace: string,
  service: string,
  options: CallControl & { readonly installId?: string | undefined } = {},
): Promise<boolean> {
  throw new Error(`not built yet ${String(client)} ${namespace} ${service} ${String(options)}`);
}
