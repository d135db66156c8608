import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { errorText } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import { type AgentHandshaken, agentHandshake } from '../src/mux/handshake.ts';
import type { Link } from '../src/mux/link.ts';
import type { Transport } from '../src/mux/transport.ts';
import { acceptWebSocket } from '../src/net/transport/websocket.ts';
import { READY_PATH, TUNNEL_PATH } from '../src/protocol/agent-config.ts';
import type { SessionIdentity } from '../src/protocol/control.ts';
import { HANDSHAKE_DEADLINE_MS } from '../src/protocol/limits.ts';
import type { Credentials } from './config.ts';
import { UnauthenticatedPeers } from './unauthenticated-peers.ts';

export interface TunnelServerOptions {
  /** 0 for any free one. */
  readonly port: number;
  readonly credentials: Credentials;
  readonly podName: string;
  readonly log: Log;
  /** Resolves when the pod may get traffic; probes wait for it. */
  readonly ready: () => Promise<void>;
  readonly isDraining: () => boolean;
  /** False: no room for another session. */
  readonly mayJoin: () => boolean;
  /** What a session that comes back goes on with. */
  readonly findLink: (session: SessionIdentity, id: string) => Link | undefined;
  /** A peer proved that it holds the key; the carrier is the callee's, to be attached at once. */
  readonly onCarrier: (peer: AgentHandshaken<Link>) => void;
  readonly handshakeDeadlineMs?: number;
}

export interface TunnelServer {
  readonly port: number;
  readonly unauthenticatedPeers: number;
  /** Accepts no more and cuts who has not proved itself; transports handed out are not touched. */
  close(): void;
  /** The port is free and all connections are closed. */
  readonly closed: Promise<void>;
}

/**
 * The agent's own port: TLS with the Secret's certificate, readiness, and tunnels. A peer without the key can make a
 * handshake fail, nothing else.
 * @throws the system's error when the port cannot be bound
 */
export async function startTunnelServer(options: TunnelServerOptions): Promise<TunnelServer> {
  const { credentials, podName, log, handshakeDeadlineMs = HANDSHAKE_DEADLINE_MS } = options;
  const peers = new UnauthenticatedPeers(undefined, handshakeDeadlineMs);
  const stop = new AbortController();
  const server = createServer(
    { key: credentials.tlsKey, cert: credentials.tlsCert, minVersion: 'TLSv1.3', noDelay: true, keepAlive: true },
    (request, response) => void answer(request, response, options),
  );
  server.on('connection', (socket) => peers.add(socket as Socket)); // its type allows for other streams, emitted by oneself
  server.on('tlsClientError', (failure) => log.debug('TLS handshake failed', { reason: failure.message }));
  server.on('clientError', (_failure, socket) => socket.destroy());
  const acceptNoMore = acceptWebSocket(server, {
    pathSuffix: TUNNEL_PATH,
    onTransport: (carrier, request) => void authenticate(carrier, request),
  });

  async function authenticate(carrier: Transport, request: IncomingMessage): Promise<void> {
    const from = request.socket.remoteAddress;
    try {
      const { key } = credentials;
      const { signal } = stop;
      const peer = await agentHandshake<Link>(carrier, {
        key,
        pod: podName,
        deadlineMs: handshakeDeadlineMs,
        signal,
        findLink: options.findLink,
      });
      peers.proved(request.socket);
      if (peer.resumed === undefined && !options.mayJoin()) {
        const { user, host } = peer.session;
        log.warn('too many sessions, one was turned away', { user, host });
        peer.transport.close();
        return;
      }
      options.onCarrier(peer);
    } catch (failure) {
      log.debug('peer turned away', { from, reason: errorText(failure) });
    }
  }

  server.listen(options.port);
  await once(server, 'listening');
  const closed = once(server, 'close').then(() => {});
  server.on('error', (failure) => log.warn('tunnel port', { reason: failure.message })); // accept() failures (EMFILE)
  return {
    port: (server.address() as AddressInfo).port,
    get unauthenticatedPeers() {
      return peers.size;
    },
    close: () => {
      stop.abort();
      acceptNoMore();
      server.close();
      peers.close();
    },
    closed,
  };
}

/** Readiness, and nothing else. The answer is held until it is yes: see Readiness. */
async function answer(request: IncomingMessage, response: ServerResponse, options: TunnelServerOptions): Promise<void> {
  response.setHeader('Connection', 'close');
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  if (!path.endsWith(READY_PATH)) {
    response.writeHead(404).end();
    return;
  }
  if (!options.isDraining()) await options.ready();
  response.writeHead(options.isDraining() ? 503 : 200).end();
}
