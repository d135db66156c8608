import type { KubeClient } from './client.ts';
import type { AgentCredentials } from './credentials.ts';
import type { Service, Workload, WorkloadRef } from './objects.ts';
import type { InstallPlan, InstallRequest } from './plan.ts';
import type { InstallRecord } from './record.ts';

export interface CallControl {
  readonly signal?: AbortSignal | undefined;
}

/** An agent in the workload's template: `reused` when it was there before (no rollout of ours). */
export interface Installed {
  readonly ref: WorkloadRef;
  readonly workload: Workload;
  readonly record: InstallRecord;
  readonly credentials: AgentCredentials;
  readonly reused: boolean;
  readonly warnings: readonly string[];
}

/** What `install` would do now, with no change made: for --dry-run (see diff.ts) and for warnings. */
export async function prepareInstall(
  client: KubeClient,
  request: InstallRequest,
  control: CallControl = {},
): Promise<InstallPlan> {
  throw new Error(`not built yet ${String(client)} ${String(request)} ${String(control)}`);
}

/**
 * Brings the agent into the workload: Secret and ConfigMap, then one patch guarded by resourceVersion (a conflict
 * is planned again). An agent that fits is used as it is. Does not wait for the rollout and does not touch the Service.
 * @throws InterceptorError TARGET_IN_USE (an agent that does not fit), TARGET_*, CLUSTER_*
 */
export async function install(
  client: KubeClient,
  request: InstallRequest,
  control: CallControl = {},
): Promise<Installed> {
  throw new Error(`not built yet ${String(client)} ${String(request)} ${String(control)}`);
}

/**
 * Points the numeric target ports of the Service to the agent; call after the rollout. Nothing to do for named ones.
 * Safe to repeat. @returns the Service as stored; undefined when nothing had to be retargeted
 * @throws InterceptorError CLUSTER_CONFLICT (somebody has changed the target port), TARGET_NOT_FOUND, CLUSTER_*
 */
export async function retargetService(
  client: KubeClient,
  ref: WorkloadRef,
  record: InstallRecord,
  control: CallControl = {},
): Promise<Service | undefined> {
  throw new Error(`not built yet ${String(client)} ${String(ref)} ${String(record)} ${String(control)}`);
}

/** Reads the Secret of an installed agent. @throws InterceptorError TARGET_NOT_FOUND when it is gone, CLUSTER_* */
export async function readCredentials(
  client: KubeClient,
  namespace: string,
  record: InstallRecord,
  control: CallControl = {},
): Promise<AgentCredentials> {
  throw new Error(`not built yet ${String(client)} ${namespace} ${String(record)} ${String(control)}`);
}
