import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Transport } from '../../src/mux/transport.ts';
import { SocketTransport } from '../../src/net/transport/socket.ts';
import { acceptWebSocket, connectWebSocket } from '../../src/net/transport/websocket.ts';
import { MemoryTransport } from './memory-transport.ts';

/** Two ends of one carrier. */
export interface CarrierPair {
  readonly session: Transport;
  readonly agent: Transport;
  close(): Promise<void>;
}

/** Every kind of carrier the mux suite runs over. */
export const CARRIERS: readonly { readonly name: string; readonly connect: () => Promise<CarrierPair> }[] = [
  { name: 'memory', connect: memoryPair },
  { name: 'UNIX socket', connect: socketPair },
  { name: 'WebSocket', connect: webSocketPair },
];

async function memoryPair(): Promise<CarrierPair> {
  const [session, agent] = MemoryTransport.pair();
  return { session, agent, close: async () => {} };
}

async function socketPair(): Promise<CarrierPair> {
  const folder = await mkdtemp(join(tmpdir(), 'ki-carrier-'));
  const path = join(folder, 'socket');
  const server = createServer({ allowHalfOpen: true });
  server.listen(path);
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const session = new SocketTransport(connect({ path, allowHalfOpen: true }));
  const [peer] = await accepted;
  const close = async (): Promise<void> => {
    await closed(server);
    await rm(folder, { recursive: true });
  };
  return { session, agent: new SocketTransport(peer), close };
}

export async function webSocketPair(): Promise<CarrierPair> {
  const server = createHttpServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = new Promise<Transport>((resolve) => {
    acceptWebSocket(server, { pathSuffix: '/tunnel', onTransport: resolve });
  });
  const session = await connectWebSocket({
    url: `ws://127.0.0.1:${portOf(server.address())}/some/prefix/tunnel`,
    signal: new AbortController().signal,
    deadlineMs: 5_000,
  });
  return { session, agent: await accepted, close: () => closed(server) };
}

function portOf(address: string | AddressInfo | null): number {
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP');
  return address.port;
}

async function closed(server: { close(done: () => void): unknown }): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
