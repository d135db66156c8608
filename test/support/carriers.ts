import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import type { Transport } from '../../src/mux/transport.ts';
import { acceptWebSocket, connectWebSocket } from '../../src/net/transport/websocket.ts';
import { MemoryTransport } from './memory-transport.ts';
import { TcpTransport } from './tcp-transport.ts';

/** Two ends of one carrier. */
export interface CarrierPair {
  readonly session: Transport;
  readonly agent: Transport;
  close(): Promise<void>;
}

/** Every kind of carrier the mux suite runs over. */
export const CARRIERS: readonly { readonly name: string; readonly connect: () => Promise<CarrierPair> }[] = [
  { name: 'memory', connect: memoryPair },
  { name: 'TCP', connect: tcpPair },
  { name: 'WebSocket', connect: webSocketPair },
];

async function memoryPair(): Promise<CarrierPair> {
  const [session, agent] = MemoryTransport.pair();
  return { session, agent, close: async () => {} };
}

async function tcpPair(): Promise<CarrierPair> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection');
  const socket = connect({ port: portOf(server.address()), host: '127.0.0.1', allowHalfOpen: true });
  const session = new TcpTransport(socket);
  const [peer] = await accepted;
  return { session, agent: new TcpTransport(peer), close: () => closed(server) };
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
