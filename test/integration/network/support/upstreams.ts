import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export interface Upstream {
  readonly port: number;
  close(): Promise<void>;
}

async function listening(server: Server): Promise<Upstream> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return {
    port,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export async function tcpUpstream(serve: (socket: Socket) => void): Promise<Upstream> {
  return await listening(createServer({ allowHalfOpen: true }, (socket) => serve(socket.on('error', () => {}))));
}

export async function httpUpstream(serve: (req: IncomingMessage, res: ServerResponse) => void): Promise<Upstream> {
  return await listening(createHttpServer(serve));
}

/** Answers each datagram with `echo:` and itself. */
export async function udpEcho(): Promise<Upstream> {
  const socket = createSocket('udp4');
  socket.on('message', (message, from) =>
    socket.send(Buffer.concat([Buffer.from('echo:'), message]), from.port, from.address),
  );
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  return { port, close: () => new Promise<void>((resolve) => socket.close(() => resolve())) };
}
