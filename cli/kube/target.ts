import type { KubeClient } from './client.ts';
import type { Pod, Service, Workload, WorkloadKind } from './objects.ts';

/** What the user named: `web`, `svc/web`, `deploy/web`, `sts/web`. */
export interface TargetName {
  readonly kind: 'any' | 'service' | WorkloadKind;
  readonly name: string;
}

/** A target with the objects behind it, raw as read. */
export interface ResolvedTarget {
  readonly namespace: string;
  readonly kind: WorkloadKind;
  readonly workload: Workload;
  /** Undefined only for a workload target that no Service selects. */
  readonly service: Service | undefined;
  /** The workload's pods (of all revisions), ready or not. */
  readonly pods: readonly Pod[];
}

/** @throws InterceptorError USAGE_BAD_TARGET */
export function parseTarget(text: string): TargetName {
  throw new Error(`not built yet ${text}`);
}

/**
 * Finds Service and workload. Does not judge whether they can be intercepted now: see requireInterceptable().
 * @param options.service the --service option: which Service of a workload target
 * @throws InterceptorError TARGET_NOT_FOUND, TARGET_UNSUPPORTED, USAGE_BAD_OPTION (several Services), CLUSTER_*
 */
export async function resolveTarget(
  client: KubeClient,
  options: { target: TargetName; namespace: string; service?: string | undefined; signal?: AbortSignal | undefined },
): Promise<ResolvedTarget> {
  throw new Error(`not built yet ${String(client)} ${String(options)}`);
}

/**
 * Refuses what cannot be intercepted: no Service, hostNetwork, Windows, paused, OnDelete, no replicas, no ready pod.
 * @throws InterceptorError TARGET_UNSUPPORTED, TARGET_NOT_READY
 */
export function requireInterceptable(target: ResolvedTarget): ResolvedTarget & { readonly service: Service } {
  throw new Error(`not built yet ${String(target)}`);
}
