import type { KubeClient } from './client.ts';
import type { Workload, WorkloadRef } from './objects.ts';

export interface RolloutProgress {
  /** Pods of the new template that are ready. */
  readonly updatedReady: number;
  readonly wanted: number;
  /** What is being waited for, in the cluster's own words: `web-5d…: pulling image`. */
  readonly waitingFor: string | undefined;
}

export interface RolloutOptions {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs?: number | undefined;
  /** The rollout of at least this metadata.generation; the one read first unless given. */
  readonly generation?: number | undefined;
  onProgress?: ((progress: RolloutProgress) => void) | undefined;
}

/**
 * Waits until every wanted pod runs the workload's present template, is ready, and no pod of an older one is left to serve.
 * @returns the workload as last seen
 * @throws InterceptorError AGENT_IMAGE_UNAVAILABLE, ROLLOUT_FAILED with the cluster's reason, as soon as it is definite;
 *   TARGET_NOT_FOUND when the workload is deleted meanwhile; CLUSTER_*; the signal's reason
 */
export async function waitForRollout(
  client: KubeClient,
  ref: WorkloadRef,
  options: RolloutOptions = {},
): Promise<Workload> {
  throw new Error(`not built yet ${String(client)} ${String(ref)} ${String(options)}`);
}
