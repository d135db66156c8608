import type { Log } from '../src/log.ts';
import type { Mux } from '../src/mux/mux.ts';
import type { AppPort } from '../src/protocol/control.ts';
import { TaskGroup } from '../src/task-group.ts';
import { VERSION } from '../src/version.ts';
import type { AgentSettings } from './config.ts';
import { type DatagramPort, listenForDatagrams } from './datagrams/datagram-port.ts';
import { drained } from './drain.ts';
import { type DrainPort, startDrainPort } from './drain-port.ts';
import { held, heldByTunnels } from './held-bytes.ts';
import { MAX_SESSIONS } from './limits.ts';
import { Outgoing, type OutgoingOptions } from './outgoing/outgoing.ts';
import { ArmedProofs } from './proof.ts';
import { Readiness } from './readiness.ts';
import { type RequestedAgent, requestHandlers } from './request-handlers.ts';
import { listenOnRoute, type RouteListener } from './route-listener.ts';
import { Router } from './router.ts';
import { Sessions } from './sessions.ts';
import { startTunnelServer, type TunnelServer } from './tunnel-server.ts';
import { Tunnels } from './tunnels.ts';

export interface AgentOptions {
  readonly settings: AgentSettings;
  readonly log: Log;
  /** The agent's own environment, from which the app's is told. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Tests make these short. */
  readonly graceMs?: number;
  readonly readyWithoutClaimMs?: number;
  readonly handshakeDeadlineMs?: number;
  readonly drainLingerMs?: number;
  readonly maxConnections?: number;
  /** Where this pod's resolvers, hosts and volumes are; tests have their own. */
  readonly outgoing?: Omit<OutgoingOptions, 'log'>;
}

export interface AgentStats {
  readonly openConnections: number;
  /** Clients of UDP ports. */
  readonly flows: number;
  /** Streams that sessions opened: connections out of the pod, DNS, files. */
  readonly outgoing: number;
  readonly sessions: number;
  readonly unauthenticatedPeers: number;
  readonly timers: number;
}

/** The running sidecar: its tunnel port, its route ports, and what goes on between them. */
export class Agent {
  readonly #options: AgentOptions;
  readonly #log: Log;
  readonly #readiness: Readiness;
  readonly #proofs: ArmedProofs;
  readonly #sessions: Sessions<Mux>;
  readonly #router: Router;
  readonly #outgoing: Outgoing;
  /** Several may lead to one app port: a name and a number, or two names. */
  readonly #routes: { readonly appPort: number; readonly listener: RouteListener }[] = [];
  readonly #datagramPorts: { readonly appPort: number; readonly listener: DatagramPort }[] = [];
  readonly #tunnels: Tunnels;
  readonly #tasks = new TaskGroup();
  readonly #stop = new AbortController();
  #server: TunnelServer | undefined;
  #drainPort: DrainPort | undefined;
  #lastCallerMs = 0;
  #draining = false;

  /** Use startAgent. */
  constructor(options: AgentOptions) {
    const { settings, log } = options;
    this.#options = options;
    this.#log = log;
    this.#readiness = new Readiness(options.readyWithoutClaimMs);
    this.#proofs = new ArmedProofs(settings.credentials.key, settings.podName);
    this.#sessions = new Sessions<Mux>({
      ports: settings.config.routes.map(({ appPort, protocol }) => ({ appPort, protocol })),
      log,
      onClaim: () => this.#readiness.claimed(),
      ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }),
    });
    this.#router = new Router({
      podIp: settings.podIp,
      app: settings.config.app,
      claims: this.#sessions.claims,
      proofs: this.#proofs,
      ready: this.#readiness.ready,
      log,
      ...(options.maxConnections === undefined ? {} : { maxConnections: options.maxConnections }),
    });
    this.#sessions.claims.onChange = () => {
      for (const { listener } of this.#datagramPorts) listener.recheck();
    };
    this.#outgoing = new Outgoing({ log, ...options.outgoing });
    const requested: RequestedAgent = {
      settings,
      env: options.env,
      places: options.outgoing ?? {},
      sessions: this.#sessions,
      proofs: this.#proofs,
      stopped: this.#stop.signal,
      openConnections: () => this.#router.openConnections,
      isDraining: () => this.#draining,
    };
    this.#tunnels = new Tunnels({
      sessions: this.#sessions,
      outgoing: this.#outgoing,
      tasks: this.#tasks,
      handlers: (session, tunnel, volumes) => requestHandlers(requested, session, tunnel, volumes),
      isDraining: () => this.#draining,
      volumePlaces: options.outgoing?.volumePlaces,
      log,
    });
    held.onShed = (count, bytes) => log.warn('too much is waiting, connections are reset', { count, bytes });
    heldByTunnels.onShed = (count, bytes) => log.warn('too much is waiting, tunnels are cut', { count, bytes });
  }

  /** Port of the tunnel and of /readyz. */
  get tunnelPort(): number {
    return this.#server?.port ?? 0;
  }

  /** Port on which callers of `appPort` are taken; 0 when there is none. */
  routePort(appPort: number, protocol: AppPort['protocol'] = 'tcp'): number {
    const routes = protocol === 'tcp' ? this.#routes : this.#datagramPorts;
    return routes.find((route) => route.appPort === appPort)?.listener.port ?? 0;
  }

  /** Milliseconds since a session last used the agent; 0 while one does. */
  get idleMs(): number {
    return this.#sessions.status().idleMs;
  }

  stats(): AgentStats {
    return {
      openConnections: this.#router.openConnections,
      flows: this.#datagramPorts.reduce((sum, { listener }) => sum + listener.flows, 0),
      outgoing: this.#outgoing.count,
      sessions: this.#sessions.connectedCount,
      unauthenticatedPeers: this.#server?.unauthenticatedPeers ?? 0,
      timers: this.#sessions.timers,
    };
  }

  /** Binds all ports. @throws the system's error (EADDRINUSE) when one cannot be bound; nothing is left open then */
  async listen(): Promise<void> {
    const { settings, handshakeDeadlineMs } = this.#options;
    try {
      this.#server = await startTunnelServer({
        port: settings.config.tunnelPort,
        credentials: settings.credentials,
        podName: settings.podName,
        log: this.#log,
        ready: () => this.#readiness.ready,
        isDraining: () => this.#draining,
        mayJoin: () => this.#tunnels.size < MAX_SESSIONS,
        findLink: (session, id) => this.#tunnels.findLink(session, id),
        onCarrier: (peer) => this.#tunnels.take(peer),
        ...(handshakeDeadlineMs === undefined ? {} : { handshakeDeadlineMs }),
      });
      for (const { port, appPort, protocol } of settings.config.routes) {
        if (protocol === 'udp') {
          this.#datagramPorts.push({ appPort, listener: await this.#listenForDatagrams(port, appPort) });
          continue;
        }
        const listener = await listenOnRoute(port, (caller) => {
          this.#lastCallerMs = Date.now();
          this.#router.accept(caller, appPort);
        });
        this.#routes.push({ appPort, listener });
      }
      const { drainPort: port } = settings.config;
      if (port !== undefined) this.#drainPort = await startDrainPort({ port, lastCallerMs: () => this.#lastCallerMs });
    } catch (failure) {
      await this.close();
      throw failure;
    }
    this.#readiness.listening();
    this.#log.info('agent listens', {
      version: VERSION,
      tunnelPort: this.tunnelPort,
      routes: [...this.#routes, ...this.#datagramPorts].map(
        ({ appPort, listener }) => `${listener.port} for app port ${appPort}`,
      ),
    });
  }

  /** The pod is being stopped: resolves when the agent is of no more use, see drained(). Routes keep working meanwhile. */
  async drain(): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      this.#drainPort?.stopping();
      this.#log.info('agent drains', { openConnections: this.#router.openConnections });
      for (const tunnel of this.#sessions.carriers()) tunnel.sendControl({ type: 'event', event: 'draining' });
      this.#router.drain();
    }
    const router = this.#router;
    const appPorts = [...new Set(this.#routes.map((route) => route.appPort))];
    const source = {
      appPorts,
      laptopPorts: () => this.#sessions.claims.laptopPorts(),
      get openConnections() {
        return router.openConnections;
      },
    };
    await Promise.all([
      drained(source, this.#stop.signal, this.#options.drainLingerMs),
      this.#drainPort?.answered, // who cuts a hook ends its container
    ]);
  }

  /** Ends everything; connections under way are reset. May be called twice. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#readiness.close();
    for (const { listener } of [...this.#routes, ...this.#datagramPorts]) listener.close();
    this.#drainPort?.close();
    this.#server?.close();
    await this.#tunnels.close();
    await this.#outgoing.close();
    await this.#router.close();
    await this.#tasks.close();
    this.#sessions.close();
    await this.#server?.closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #listenForDatagrams(port: number, appPort: number): Promise<DatagramPort> {
    const { settings, log, outgoing } = this.#options;
    return listenForDatagrams({
      port,
      appPort,
      podIp: settings.podIp,
      app: settings.config.app,
      claim: () => this.#sessions.claims.table({ appPort, protocol: 'udp' }).whole,
      proofAnswer: (datagram) => this.#proofs.answerDatagram(datagram, appPort),
      log,
      ...(outgoing?.udpIdleMs === undefined ? {} : { idleMs: outgoing.udpIdleMs }),
    });
  }
}

/** Starts the sidecar: all ports are bound when it resolves. @throws the system's error when one cannot be */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const agent = new Agent(options);
  await agent.listen();
  return agent;
}
