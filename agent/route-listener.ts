import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { SOCKET_HIGH_WATER_BYTES } from './limits.ts';

/** Callers in the kernel's queue; a burst of new connections must not wait for a SYN to be repeated. */
const BACKLOG = 4096;

export interface RouteListener {
  /** The port it is bound to. */
  readonly port: number;
  /** Accepts no more; connections under way go on. */
  close(): void;
}

/**
 * Listens on a route port, on all addresses of the pod.
 * @param port 0 for any free one
 * @throws the system's error (EADDRINUSE) when the port cannot be bound
 */
export async function listenOnRoute(port: number, onCaller: (caller: Socket) => void): Promise<RouteListener> {
  const server = createServer(
    { allowHalfOpen: true, noDelay: true, keepAlive: true, highWaterMark: SOCKET_HIGH_WATER_BYTES },
    onCaller,
  );
  server.listen({ port, backlog: BACKLOG });
  await once(server, 'listening');
  server.on('error', () => {}); // accept() failures (EMFILE): the next caller may be luckier
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
    },
  };
}
