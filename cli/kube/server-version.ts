import type { KubeClient } from './client.ts';
import { KubeStatusError } from './client.ts';
import type { InstallRequest } from './plan.ts';

/** From here on net.ipv4.ip_unprivileged_port_start is among the sysctls that every namespace may set in its pods. */
const PORT_SYSCTL_SINCE = 22;

/**
 * The request with what its planning has to know of the server. Asked only in mode replace, and where a port below 1024 is in question.
 * @throws InterceptorError CLUSTER_*
 */
export async function withServerFacts(
  client: KubeClient,
  request: InstallRequest,
  signal: AbortSignal | undefined,
): Promise<InstallRequest> {
  if (request.mode.kind !== 'replace' || request.portSysctl !== undefined) return request;
  try {
    const { text } = await client.request({ method: 'GET', path: '/version', signal });
    return { ...request, portSysctl: isAtLeast(text, PORT_SYSCTL_SINCE) };
  } catch (failure) {
    // clusters may keep their version to themselves: then it is taken for an old one
    if (failure instanceof KubeStatusError) return request;
    throw failure;
  }
}

/** Whether the answer of /version is Kubernetes 1.`minor` or later; providers write "22+". Pure. */
export function isAtLeast(text: string, minor: number): boolean {
  try {
    const version = JSON.parse(text) as { major?: unknown; minor?: unknown };
    const major = Number.parseInt(String(version.major), 10);
    return major > 1 || (major === 1 && Number.parseInt(String(version.minor), 10) >= minor);
  } catch {
    return false; // not JSON: a gateway's own page
  }
}
