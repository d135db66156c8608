import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { connectSocks5 } from './client-socks.ts';
import { unreachable } from './client-unreachable.ts';
import type { Credentials, KubeAccess } from './kubeconfig-types.ts';

export const CONNECT_TIMEOUT_MS = 10_000;
/** Node sets 10 probes one second apart, so a dead path is noticed within about 15 s of silence. */
const KEEP_ALIVE_DELAY_MS = 5_000;

/**
 * Connects to the API server, through the proxy where there is one, TLS included.
 * @returns a connected socket; the caller closes it
 * @throws InterceptorError CLUSTER_UNREACHABLE; the signal's reason when it aborts
 */
export async function dialServer(
  access: KubeAccess,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<net.Socket> {
  signal.throwIfAborted();
  const url = new URL(access.server);
  const secure = url.protocol === 'https:';
  const port = Number(url.port || (secure ? 443 : 80));
  const host = bareHost(url.hostname);
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(new ConnectTimeout()), CONNECT_TIMEOUT_MS);
  const onAbort = (): void => cut.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let socket: net.Socket | undefined;
  try {
    socket =
      access.proxyUrl === undefined
        ? await connected(net.connect({ host, port }), 'connect', cut.signal)
        : await connectThrough(new URL(access.proxyUrl), host, port, cut.signal);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    return secure ? await startTls(socket, host, access, credentials, cut.signal) : socket;
  } catch (cause) {
    socket?.destroy();
    if (signal.aborted) throw signal.reason;
    throw unreachable(access, cause);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** The connection was not there in CONNECT_TIMEOUT_MS. */
class ConnectTimeout extends Error {
  readonly code = 'ETIMEDOUT';
  constructor() {
    super(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`);
  }
}

/** The proxy answered the CONNECT with something else than 200. */
export class ProxyRefused extends Error {
  readonly code = 'PROXY_REFUSED';
}

async function startTls(
  socket: net.Socket,
  host: string,
  access: KubeAccess,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const name = access.tls.servername ?? host;
  const options: tls.ConnectionOptions = {
    socket,
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: access.tls.rejectUnauthorized,
    // RFC 6066 allows no IP address in SNI; Node then checks the certificate against `host`.
    ...(net.isIP(name) === 0 ? { servername: name } : { host: name }),
  };
  if (access.tls.ca !== undefined) options.ca = access.tls.ca;
  if (credentials.cert !== undefined) options.cert = credentials.cert;
  if (credentials.key !== undefined) options.key = credentials.key;
  return await connected(tls.connect(options), 'secureConnect', signal);
}

async function connectThrough(proxy: URL, host: string, port: number, signal: AbortSignal): Promise<net.Socket> {
  if (proxy.protocol === 'socks5:' || proxy.protocol === 'socks5h:') {
    const socket = await connected(
      net.connect({ host: bareHost(proxy.hostname), port: Number(proxy.port || 1080) }),
      'connect',
      signal,
    );
    return await connectSocks5(socket, proxy, host, port, signal);
  }
  return await connectHttp(proxy, host, port, signal);
}

function connectHttp(proxy: URL, host: string, port: number, signal: AbortSignal): Promise<net.Socket> {
  const target = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const headers: http.OutgoingHttpHeaders = { host: target };
  if (proxy.username !== '') {
    const login = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
    headers['proxy-authorization'] = `Basic ${Buffer.from(login).toString('base64')}`;
  }
  const secure = proxy.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request({
      host: bareHost(proxy.hostname),
      port: Number(proxy.port || (secure ? 443 : 80)),
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
      signal,
    });
    request.once('connect', (answer, socket, head) => {
      if (answer.statusCode !== 200) {
        socket.destroy();
        reject(new ProxyRefused(`the proxy answered ${answer.statusCode ?? 0} ${answer.statusMessage ?? ''}`.trim()));
        return;
      }
      if (head.byteLength > 0) socket.unshift(head);
      resolve(socket as net.Socket);
    });
    request.once('response', (answer) => {
      answer.destroy();
      reject(new ProxyRefused(`the proxy answered ${answer.statusCode ?? 0} without a connection`));
    });
    request.once('error', (error) => reject(signal.aborted ? signal.reason : error));
    request.end();
  });
}

/** Waits for `event`; destroys the socket when that fails or the signal aborts. */
function connected<S extends net.Socket>(socket: S, event: string, signal: AbortSignal): Promise<S> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off(event, onConnect).off('error', onError).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: unknown): void => {
      settle();
      socket.on('error', () => {}); // a late error of a socket nobody holds any more
      socket.destroy();
      reject(error);
    };
    const onConnect = (): void => {
      settle();
      resolve(socket);
    };
    const onError = (error: Error): void => fail(error);
    const onClose = (): void => fail(Object.assign(new Error('connection closed'), { code: 'ECONNRESET' }));
    const onAbort = (): void => fail(signal.reason);
    socket.once(event, onConnect).once('error', onError).once('close', onClose);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** A URL's host without the brackets of an IPv6 address. */
function bareHost(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
}
