import { connect, type Socket } from 'node:net';
import { residentBytes } from '../../../support/processes.ts';
import { type AgentProcess, type Bundle, bundleAgent, removeBundle, spawnAgent, untilLogged } from './agent-process.ts';
import { listenTcp, type TcpServer, until } from './tcp.ts';

/** What the agent's container may take (cli/kube/agent-container.ts). */
export const CONTAINER_BYTES = 256 * 1024 * 1024;

/** The bundled agent as a process of its own, an app, and callers that mean no good. */
export interface HostileWorld {
  readonly agent: AgentProcess;
  readonly app: TcpServer;
  /** The most that the agent's process took so far, in bytes; looked at all the time. */
  readonly peakBytes: number;
  /** Connections to a port of the agent; closed with the world. */
  open(count: number, port?: number): Promise<Socket[]>;
  /** Ends it all. @throws Error when the agent has not survived, or logged an error of its own */
  close(): Promise<void>;
}

/** @param onApp what the app does with a connection @param env variables of the app */
export async function hostileWorld(
  onApp: (socket: Socket) => void,
  env: Readonly<Record<string, string>> = {},
): Promise<HostileWorld> {
  const bundle: Bundle = await bundleAgent();
  const app = await listenTcp(onApp);
  const agent = await spawnAgent(bundle, app.port, { KUBE_INTERCEPT_LOG_LEVEL: 'info', ...env });
  await untilLogged(agent, 'agent listens');
  const { pid = 0 } = agent.child;
  const sockets: Socket[] = [];
  let peakBytes = 0;
  const look = async (): Promise<void> => {
    peakBytes = Math.max(peakBytes, await residentBytes(pid));
  };
  const timer = setInterval(() => void look(), 20);
  return {
    agent,
    app,
    get peakBytes() {
      return peakBytes;
    },
    open: async (count, port = agent.routePort) => {
      const opened: Socket[] = [];
      for (let at = 0; at < count; at += 100) {
        const some = Array.from({ length: Math.min(100, count - at) }, () => hostileSocket(port));
        opened.push(...some);
        await Promise.all(some.map((socket) => until(() => !socket.connecting, 'a caller is connected', 30_000)));
      }
      sockets.push(...opened);
      return opened;
    },
    close: async () => {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      await app.close();
      const hasDied = agent.child.exitCode !== null || agent.child.signalCode !== null;
      const errors = agent.log.filter(({ level }) => level === 'error');
      agent.child.kill('SIGKILL');
      await agent.exited;
      await removeBundle(bundle);
      if (hasDied) throw new Error(`the agent died: ${JSON.stringify(agent.log.slice(-5))}`);
      if (errors.length > 0) throw new Error(`the agent logged errors: ${JSON.stringify(errors.slice(0, 5))}`);
    },
  };
}

/** A caller that reads nothing unless it is told to. */
function hostileSocket(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('error', () => {}); // resets are what it is about
  socket.pause();
  return socket;
}

/** All that comes, until the other side ends or resets. */
export async function readToEnd(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  socket.resume();
  if (socket.closed) return text;
  await new Promise<void>((resolve) => {
    for (const over of ['end', 'close']) socket.once(over, () => resolve());
  });
  return text;
}
