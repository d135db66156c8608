import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { type Agent, type AgentOptions, startAgent } from '../../../../agent/agent.ts';
import { createLog } from '../../../../src/log.ts';
import type { AgentRoute } from '../../../../src/protocol/agent-config.ts';
import { makeCertificate } from './certificate.ts';
import { claimOf } from './claims.ts';
import { dialSession, type SessionDouble, type SessionDoubleOptions } from './session-double.ts';
import { echoAs, listenTcp, type TcpServer, until } from './tcp.ts';

/** One certificate for all tests of a file: making one takes a tenth of a second. */
export const CERTIFICATE = makeCertificate();

const NOTHING_OPEN = { openConnections: 0, flows: 0, outgoing: 0, sessions: 0, unauthenticatedPeers: 0, timers: 0 };

export interface LogRecord {
  readonly level: string;
  readonly message: string;
}

/** An app, the agent beside it (in this process, "pod" 127.0.0.1, all ports free ones), and the sessions of a test. */
export interface AgentWorld {
  readonly agent: Agent;
  readonly app: TcpServer;
  readonly key: Buffer;
  /** The app's port: what sessions claim. */
  readonly appPort: number;
  /** Where callers connect. */
  readonly routePort: number;
  readonly log: LogRecord[];
  dial(options?: Partial<SessionDoubleOptions>): Promise<SessionDouble>;
  /** A session that has claimed the app port and routed it to itself. */
  dialIntercepting(options?: Partial<SessionDoubleOptions>): Promise<SessionDouble>;
  /** Closes all in order and checks that nothing was left open. */
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly podIp?: string;
  readonly moreRoutes?: readonly AgentRoute[];
  readonly appState?: 'present' | 'replaced';
}

export async function startWorld(
  onApp: (socket: Socket) => void = echoAs('app'),
  options: Partial<AgentOptions> & WorldOptions = {},
): Promise<AgentWorld> {
  const app = await listenTcp(onApp);
  const key = randomBytes(32);
  const log: LogRecord[] = [];
  const agent = await startAgent({
    settings: {
      config: {
        version: 1,
        tunnelPort: 0,
        container: 'app',
        app: options.appState ?? 'present',
        routes: [{ port: 0, appPort: app.port, protocol: 'tcp' }, ...(options.moreRoutes ?? [])],
      },
      podName: 'web-1',
      podIp: options.podIp ?? '127.0.0.1',
      namespace: 'shop',
      logLevel: 'debug',
      credentials: { key, ...CERTIFICATE },
    },
    log: createLog('debug', (level, message) => log.push({ level, message })),
    env: { GREETING: 'hi' },
    readyWithoutClaimMs: 0, // callers of these agents do not wait for a first session
    ...options,
  });
  const sessions: SessionDouble[] = [];
  const dial = async (sessionOptions: Partial<SessionDoubleOptions> = {}): Promise<SessionDouble> => {
    const session = await dialSession({ port: agent.tunnelPort, key, ...sessionOptions });
    sessions.push(session);
    return session;
  };
  return {
    agent,
    app,
    key,
    appPort: app.port,
    routePort: agent.routePort(app.port),
    log,
    dial,
    dialIntercepting: async (sessionOptions) => {
      const session = await dial(sessionOptions);
      await session.request('claim', claimOf([app.port]));
      await session.request('route', { appPort: app.port, protocol: 'tcp', to: 'laptop' });
      return session;
    },
    close: async () => {
      await until(() => agent.stats().openConnections === 0, 'all connections are over');
      for (const session of sessions) {
        await until(() => session.mux.stats().openStreams === 0, 'all streams of the session are over');
        await session.mux.close();
        assert.deepEqual(session.mux.stats(), { openStreams: 0, queuedBytes: 0, timers: 0 });
      }
      await agent.close();
      await app.close();
      assert.deepEqual(agent.stats(), NOTHING_OPEN);
      assert.deepEqual(
        log.filter(({ level }) => level === 'error'),
        [],
      );
    },
  };
}
