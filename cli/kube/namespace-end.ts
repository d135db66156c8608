import { InterceptorError } from '../../src/errors.ts';
import { isForbidden, isNotFound, type KubeClient, type KubeObject } from './client.ts';

/** Whoever waits for the answer is about to end. */
const ASK_TIMEOUT_MS = 3_000;

/**
 * Whether a namespace in which an object of a session's has been deleted is being deleted itself. `perhaps`: the user may not ask any
 * more, and may not read what the session was allowed to read, either; rights that were given in a namespace go with it.
 * @param known the path of an object in it that the session has read before
 */
export async function namespaceGoes(
  client: KubeClient,
  namespace: string,
  known: string,
  signal: AbortSignal,
): Promise<'yes' | 'no' | 'perhaps'> {
  const options = { signal, timeoutMs: ASK_TIMEOUT_MS };
  try {
    const found = await client.get<KubeObject>(`/api/v1/namespaces/${encodeURIComponent(namespace)}`, options);
    return found.metadata.deletionTimestamp === undefined ? 'no' : 'yes';
  } catch (failure) {
    if (isNotFound(failure)) return 'yes';
    if (!isRefused(failure)) return 'no'; // nobody knows: it is not said to be
  }
  try {
    await client.get(known, options);
    return 'no';
  } catch (failure) {
    return isRefused(failure) ? 'perhaps' : 'no';
  }
}

/** Forbidden, or the user (a service account of the namespace) is gone. */
export function isRefused(failure: unknown): failure is InterceptorError {
  return isForbidden(failure) || (failure instanceof InterceptorError && failure.code === 'CLUSTER_UNAUTHORIZED');
}
