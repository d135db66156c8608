import { isRecord } from '../../src/is-record.ts';
import { isForbidden, isNotFound, type KubeClient, type KubeObject, resourcePath } from '../kube/client.ts';
import { pause } from './backoff.ts';

const DEADLINE_MS = 15_000;
const POLL_MS = 100;

/**
 * Waits until the Service's endpoints are pods with an agent and no others: a pod of the old template leaves them a moment
 * after it was told to end, and until then callers still reach it.
 * @param covered the names of the pods that have an agent of this session
 * @returns the pods that were still among them at the deadline; none where the user may not read endpoints
 */
export async function untilOnlyAgents(
  client: KubeClient,
  namespace: string,
  service: string,
  covered: () => readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const path = resourcePath({ apiVersion: 'v1', resource: 'endpoints', namespace, name: service });
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const others = await readPods(client, path, signal);
    const strangers = others.filter((pod) => !covered().includes(pod));
    if (strangers.length === 0 || Date.now() >= deadline || signal.aborted) return strangers;
    await pause(POLL_MS, signal);
  }
}

async function readPods(client: KubeClient, path: string, signal: AbortSignal): Promise<string[]> {
  try {
    return endpointPods(await client.get(path, { signal }));
  } catch (error) {
    if (isNotFound(error) || isForbidden(error)) return []; // the proof through the Service is all there is then
    throw error;
  }
}

/** The names of the pods that an Endpoints object sends callers to. */
export function endpointPods(endpoints: KubeObject): string[] {
  const subsets: unknown[] = Array.isArray(endpoints.subsets) ? endpoints.subsets : [];
  return subsets.flatMap((subset) => {
    const addresses: unknown[] = isRecord(subset) && Array.isArray(subset.addresses) ? subset.addresses : [];
    return addresses.flatMap((address) =>
      isRecord(address) && isRecord(address.targetRef) && typeof address.targetRef.name === 'string'
        ? [address.targetRef.name]
        : [],
    );
  });
}
