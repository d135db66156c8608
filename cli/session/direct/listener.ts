import { chmod, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Log } from '../../../src/log.ts';
import { Mux, type OpenInfo } from '../../../src/mux/mux.ts';
import type { MuxStream } from '../../../src/mux/stream.ts';
import { SocketTransport } from '../../../src/net/transport/socket.ts';

/** Other sessions of this user; each holds one connection. */
const MAX_SESSIONS = 64;

export interface DirectListener {
  /** Stops listening and resets what is open. */
  close(): Promise<void>;
}

/**
 * Takes connections of other sessions' processes for this session's process. Over a mux, as an agent's: half-closes, resets
 * and refusals are told as through the cluster, which a bare UNIX socket could not (it knows no reset).
 * @param path only its user may connect (mode 0600 in a folder of mode 0700)
 * @param take accepts or refuses a stream for a port of the app; refused, its caller goes through the cluster
 */
export async function listenDirect(
  path: string,
  take: (stream: MuxStream, info: OpenInfo) => void,
  log: Log,
): Promise<DirectListener> {
  const tunnels = new Set<Mux>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const mux = new Mux(new SocketTransport(socket), {
      side: 'session',
      onOpen: (stream, info) => {
        if (info.kind === 'incoming') take(stream, info);
        else stream.refuse('refused');
      },
      onControl: () => {},
      log,
    });
    tunnels.add(mux);
    void mux.closed.then(() => tunnels.delete(mux));
  });
  server.maxConnections = MAX_SESSIONS;
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  if (process.platform !== 'win32') await chmod(path, 0o600);
  return {
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      await Promise.all([...tunnels].map((mux) => mux.close()));
      await closed;
    },
  };
}
