import { createHash } from 'node:crypto';
import type { KubeAccess } from '../../kube/kubeconfig-types.ts';

/** What a session's record tells other sessions of this user that call its process directly. */
export interface DirectRecord {
  readonly socket: string;
  /** clusterIdentity() of the session. */
  readonly cluster: string;
  /** `user@host`, as the agent marks requests that go to this session (BY_FIELD). */
  readonly by: string;
  /** Whether its answers are marked, too. */
  readonly mark: boolean;
}

/**
 * Tells clusters apart without asking them: two sessions with the same way to the same API server are in the same cluster.
 * The same cluster by another URL counts as another one; then calls go through it, as they always can.
 */
export function clusterIdentity({ server, tls, proxyUrl }: Pick<KubeAccess, 'server' | 'tls' | 'proxyUrl'>): string {
  const parts = [server, tls.ca ?? '', tls.servername ?? '', proxyUrl ?? ''];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
