import { createServer, type Server, type Socket } from 'node:net';
import { AbortGroup } from '../../../src/abort-group.ts';
import { errorText } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { splice } from '../../../src/net/splice.ts';
import { TaskGroup } from '../../../src/task-group.ts';
import type { Egress } from '../types.ts';

/** As long as a client's own connect(2) would try. */
const DIAL_TIMEOUT_MS = 60_000;

export interface Listener {
  /** Where its connections go; may change while it listens (a pod that came back under its name). */
  host: string;
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly address: string;
  readonly port: number;
  readonly host: string;
  readonly egress: Egress;
  readonly log: Log;
}

/**
 * One TCP port of one loopback address; its connections go to the same port of `host`.
 * @throws what listen(2) says (EADDRINUSE, EACCES)
 */
export async function listenTcp({ address, port, host, egress, log }: ListenOptions): Promise<Listener> {
  const tasks = new TaskGroup();
  const connections = new AbortGroup();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    tasks.add(connections.run((signal) => serve(socket, signal)));
  });
  const listener: Listener = {
    host,
    close: async () => {
      connections.abort(new Error('the Service is gone'));
      await closed(server);
      await tasks.close();
    },
  };

  const serve = async (socket: Socket, ended: AbortSignal): Promise<void> => {
    socket.on('error', () => {}); // splice tells, or the client left before the pod was reached
    try {
      const gone = new AbortController();
      socket.once('close', () => gone.abort(new Error('the client left')));
      const signal = AbortSignal.any([ended, gone.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]);
      const outgoing = await egress.dialTcp(listener.host, port, signal);
      await splice(socket, outgoing, ended);
    } catch (error) {
      socket.resetAndDestroy();
      log.debug('connection ended early', { to: `${listener.host}:${port}`, reason: errorText(error) });
    }
  };

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, exclusive: true }, resolve);
  });
  server.on('error', (error) => log.debug('accept failed', { address, port, reason: errorText(error) })); // EMFILE
  return listener;
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
