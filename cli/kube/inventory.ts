import type { CallControl } from './apply.ts';
import type { KubeClient } from './client.ts';
import type { WorkloadRef } from './objects.ts';
import type { InstallState } from './record.ts';

/** A workload that carries our annotation, or whose Service still does (`none`: workload gone or cleaned). */
export interface FoundInstall {
  readonly ref: WorkloadRef;
  readonly install: InstallState;
  /** Replicas the workload wants; 0 when it is gone. */
  readonly wanted: number;
  /** The Service that carries our retarget annotation. */
  readonly retargetedService: string | undefined;
}

/** All installs of a namespace, or of all namespaces the user may list (`undefined`). @throws InterceptorError CLUSTER_* */
export async function findInstalls(
  client: KubeClient,
  namespace: string | undefined,
  control: CallControl = {},
): Promise<FoundInstall[]> {
  throw new Error(`not built yet ${String(client)} ${String(namespace)} ${String(control)}`);
}
