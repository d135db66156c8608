import { createServer, type Server, type Socket } from 'node:net';
import { AbortGroup } from '../../../src/abort-group.ts';
import { InterceptorError, systemErrorCode } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { closeAfterFailedReset } from '../../../src/net/failed-reset.ts';
import { splice } from '../../../src/net/splice.ts';
import { TaskGroup } from '../../../src/task-group.ts';
import { DialError } from '../dial-error.ts';
import type { Outgoing } from '../types.ts';
import { type AgentWay, dialThroughAgent } from './agent-dial.ts';
import { isOwnCaller, mayPass, untilGone } from './own-callers.ts';

const LAPTOP_HOST = '127.0.0.1';
const MAX_CONNECTIONS = 1024;

/** A port of the pod's localhost and where it appears on the laptop's. */
export interface ToPodPort {
  readonly laptopPort: number;
  readonly podPort: number;
}

export interface ToPod {
  readonly ports: readonly ToPodPort[];
  /** Stops listening and resets what is open. */
  close(): Promise<void>;
}

/**
 * Reads `5432` or `15432:5432` (laptop's, then pod's).
 * @throws InterceptorError USAGE_BAD_PORT
 */
export function parseToPod(text: string): ToPodPort {
  const match = /^(?:(\d{1,5}):)?(\d{1,5})$/.exec(text);
  const podPort = Number(match?.[2]);
  const laptopPort = match?.[1] === undefined ? podPort : Number(match[1]);
  if (![podPort, laptopPort].every((port) => port >= 1 && port <= 65_535)) {
    const why = match === null ? 'is not [local:]port' : 'ports are 1 to 65535';
    throw new InterceptorError('USAGE_BAD_PORT', `--to-pod ${text}: ${why}`, {
      hint: '--to-pod 5432, or --to-pod 15432:5432 for another port on the laptop',
    });
  }
  return { laptopPort, podPort };
}

/**
 * Lets ports of the pod's localhost appear on the laptop's 127.0.0.1: for the session's own user, and not for web pages.
 * @throws InterceptorError USAGE_BAD_PORT where one is taken; then none listens
 */
export async function listenToPod(ports: readonly ToPodPort[], way: AgentWay, log: Log): Promise<ToPod> {
  const connections = new AbortGroup();
  const tasks = new TaskGroup();
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    connections.abort(new Error('session ended'));
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    await tasks.close();
  };
  const serve = async (socket: Socket, podPort: number, signal: AbortSignal): Promise<void> => {
    try {
      if (!isOwnCaller(socket)) throw new Error('another user of this machine');
      const pod = await dialPodLocalhost(way, podPort, AbortSignal.any([signal, whenClosed(socket)]));
      if (await mayPass(socket, pod, signal)) await splice(socket, pod, signal);
      else {
        pod.resetAndDestroy();
        await untilGone(socket, signal);
      }
    } catch (error) {
      socket.resetAndDestroy(); // a refusal in the pod comes late here: the connection was accepted already
      log.debug('connection to the pod ended early', { podPort, reason: String(error) });
    }
  };
  try {
    for (const { laptopPort, podPort } of ports) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        closeAfterFailedReset(socket); // other errors are told by splice, or it is gone before the pod was reached
        tasks.add(connections.run((signal) => serve(socket, podPort, signal)));
      });
      server.maxConnections = MAX_CONNECTIONS;
      await listen(server, laptopPort, podPort);
      servers.push(server);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { ports, close };
}

/**
 * Sees to it that ports can be listened on, before anything is changed for their sake; leaves them free.
 * @throws InterceptorError USAGE_BAD_PORT
 */
export async function requireFreeToPod(ports: readonly ToPodPort[]): Promise<void> {
  const servers: Server[] = [];
  try {
    for (const { laptopPort, podPort } of ports) {
      const server = createServer((socket) => socket.destroy());
      await listen(server, laptopPort, podPort);
      servers.push(server);
    }
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** Servers in the pod listen on either loopback address. @throws DialError */
async function dialPodLocalhost(way: AgentWay, podPort: number, signal: AbortSignal): Promise<Outgoing> {
  try {
    return await dialThroughAgent(way, '127.0.0.1', podPort, signal);
  } catch (error) {
    if (!(error instanceof DialError) || error.code !== 'ECONNREFUSED') throw error;
    return await dialThroughAgent(way, '::1', podPort, signal).catch(() => {
      throw error; // the pod may have no IPv6 at all: the first refusal says it better
    });
  }
}

async function listen(server: Server, laptopPort: number, podPort: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(laptopPort, LAPTOP_HOST, resolve);
    });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const why = code === 'EACCES' ? 'needs more rights than you have' : 'is in use already';
    throw new InterceptorError('USAGE_BAD_PORT', `--to-pod: port ${laptopPort} on this laptop ${why}`, {
      hint: `choose another one: --to-pod ${laptopPort < 55_535 ? laptopPort + 10_000 : 15_000}:${podPort}`,
      cause: error,
    });
  }
}

/** Aborts when the caller has gone. */
function whenClosed(socket: Socket): AbortSignal {
  const gone = new AbortController();
  socket.once('close', () => gone.abort(new Error('the caller has gone')));
  return gone.signal;
}
