import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { confirmEnd } from '../../../../src/net/confirm-end.ts';

/** A server on 127.0.0.1 that stands for the app or for the process. */
export interface TcpServer {
  readonly port: number;
  readonly server: Server;
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

export async function listenTcp(onSocket: (socket: Socket) => void, port = 0): Promise<TcpServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // resets are what some tests are about
    socket.on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    server,
    sockets,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}

/** A caller's connection, half-open. */
export async function dial(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('error', () => {}); // seen through how()
  await once(socket, 'connect');
  return socket;
}

/** How a connection ended, and all that came before. */
export interface Outcome {
  readonly bytes: Buffer;
  readonly how: 'end' | 'reset';
}

/** Reads until the other side ends or resets. */
export function readAll(side: Duplex): Promise<Outcome> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let how: 'end' | 'reset' = 'reset';
    side.on('data', (chunk: Buffer) => chunks.push(chunk));
    side.on('end', () =>
      confirmEnd(side, () => {
        how = 'end';
        resolve({ bytes: Buffer.concat(chunks), how });
      }),
    );
    side.on('close', () => resolve({ bytes: Buffer.concat(chunks), how }));
    side.resume();
  });
}

/** Sends `request`, ends, and reads what comes back. */
export async function exchange(port: number, request: string | Buffer): Promise<Outcome> {
  const socket = await dial(port);
  const outcome = readAll(socket);
  socket.end(request);
  return await outcome;
}

/** Waits until `condition` holds. @throws when it does not within `timeoutMs` */
export async function until(condition: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const deadlineMs = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadlineMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Answers with `name`, a colon, and all that was sent, once the caller has ended. */
export function echoAs(name: string): (socket: Duplex) => void {
  return (socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => socket.end(Buffer.concat([Buffer.from(`${name}:`), ...chunks])));
  };
}
