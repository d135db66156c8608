import type { KubeAccess } from './kubeconfig-types.ts';

export type { Credentials, KubeAccess, KubeTls } from './kubeconfig-types.ts';

/**
 * Finds the cluster as kubectl does: --kubeconfig, KUBECONFIG list, ~/.kube/config, in-cluster service account.
 * @throws InterceptorError KUBECONFIG_INVALID
 */
export async function loadKubeConfig(
  options: { kubeconfig?: string | undefined; context?: string | undefined } = {},
): Promise<KubeAccess> {
  throw new Error(`not built yet ${String(options)}`);
}
