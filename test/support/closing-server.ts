import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** Stands for a process that nobody asks anything: it ends every connection at once. */
export interface ClosingServer {
  readonly port: number;
  /** Resolves when it does not listen any more and every connection is closed. */
  close(): Promise<void>;
}

export async function startClosingServer(): Promise<ClosingServer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // a caller that resets
    // What a caller says has to be read: with bytes unread a socket never comes to its end and never closes, and once it has met
    // EOF it does not keep Node running either: who waits for it ends the program with exit code 13. A proof request that is late
    // by more than agent/limits.ts PROOF_PEEK_MS reaches the process, on a busy machine.
    socket.resume().end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
