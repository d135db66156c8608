import type { Socket } from 'node:net';
import { InterceptorError } from '../../src/errors.ts';
import { connectRawWebSocket, type RawWebSocket, UpgradeRefused } from '../../src/net/transport/raw-websocket.ts';
import { deadline } from './client-deadline.ts';
import { dialServer } from './client-dial.ts';
import { noAnswer, unreachable } from './client-unreachable.ts';
import type { Credentials, KubeAccess } from './kubeconfig-types.ts';
import { statusError } from './status-errors.ts';

const OPEN_TIMEOUT_MS = 20_000;

/** What a WebSocket client needs for one path of the API server. */
export interface TunnelRequest {
  /** `wss://…`, or `ws://…` for an http server. */
  readonly url: string;
  /** With Authorization. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Connected, through the proxy where there is one, TLS done: `createConnection: () => socket`. The caller closes it. */
  readonly socket: Socket;
  readonly credentials: Credentials;
}

/**
 * Connects to the API server for a WebSocket upgrade. Most callers want openWebSocket(), which also renews credentials.
 * @param path with query
 * @throws InterceptorError CLUSTER_UNREACHABLE, CLUSTER_UNAUTHORIZED, KUBECONFIG_INVALID
 */
export async function tunnelRequest(access: KubeAccess, path: string, signal: AbortSignal): Promise<TunnelRequest> {
  const credentials = await access.credentials(signal);
  const socket = await dialServer(access, credentials, signal);
  const headers: Record<string, string | string[]> = { ...access.headers };
  if (credentials.authorization !== undefined) headers.authorization = credentials.authorization;
  return { url: `${access.server.replace(/^http/, 'ws')}${path}`, headers, socket, credentials };
}

export interface OpenWebSocketOptions {
  /** With query. */
  readonly path: string;
  readonly protocols?: readonly string[];
  readonly maxPayloadBytes: number;
  readonly autoPong?: boolean;
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
}

/**
 * A WebSocket to a path of the API server (pods/proxy, pods/portforward, pods/exec); 401 renews credentials once.
 * @returns open and paused: add listeners, then resume()
 * @throws KubeStatusError for a refusal: CLUSTER_FORBIDDEN, CLUSTER_REFUSED (isNotFound for no such pod), …; CLUSTER_UNREACHABLE
 */
export async function openWebSocket(access: KubeAccess, options: OpenWebSocketOptions): Promise<RawWebSocket> {
  const { path, protocols = [], maxPayloadBytes, autoPong, signal, timeoutMs = OPEN_TIMEOUT_MS } = options;
  const plainPath = path.split('?', 1)[0] ?? path;
  const limit = deadline(signal, timeoutMs);
  try {
    for (let renewed = false; ; renewed = true) {
      const request = await tunnelRequest(access, path, limit.signal);
      try {
        const { url, headers, socket } = request;
        return await connectRawWebSocket(url, protocols, {
          headers,
          socket,
          maxPayloadBytes,
          autoPong,
          signal: limit.signal,
        });
      } catch (error) {
        if (!(error instanceof UpgradeRefused)) throw error;
        const { credentials } = request;
        if (error.status === 401 && !renewed && access.forgetCredentials(credentials)) continue;
        throw statusError(error.status, error.body, { access, credentials, method: 'GET', path: plainPath });
      }
    }
  } catch (error) {
    if (limit.expired()) throw noAnswer(access, `GET ${plainPath}`, timeoutMs);
    if (signal.aborted) throw signal.reason;
    throw error instanceof InterceptorError ? error : unreachable(access, error);
  } finally {
    limit.dispose();
  }
}

/** The path of an HTTPS port of a pod through the API server, which ignores the pod's certificate. */
export function podProxyPath(target: { namespace: string; pod: string; port: number; path: string }): string {
  return `/api/v1/namespaces/${target.namespace}/pods/https:${target.pod}:${target.port}/proxy/${target.path.replace(/^\//, '')}`;
}
