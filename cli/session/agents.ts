import { InterceptorError } from '../../src/errors.ts';
import type { TlsLack } from '../../src/http/routing.ts';
import type { Log } from '../../src/log.ts';
import type { OpenInfo } from '../../src/mux/mux.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { AppPort, ControlEvent, Holder, Intercept, RouteTo, SessionIdentity } from '../../src/protocol/control.ts';
import { parseTunnelKey } from '../../src/protocol/handshake.ts';
import { TaskGroup } from '../../src/task-group.ts';
import type { KubeObject } from '../kube/client.ts';
import type { AgentCredentials } from '../kube/credentials.ts';
import type { KubeAccess } from '../kube/kubeconfig-types.ts';
import { stickyTunnel } from '../network/egress/sticky-tunnel.ts';
import type { Report } from '../ui/events.ts';
import { agentConfig, isReady, runningAgent } from './agent-pods.ts';
import { type AgentTunnel, connectAgentTunnel } from './agent-tunnel.ts';
import { CarrierChoice, type TunnelOption } from './carriers.ts';
import { RequestRefused } from './control-client.ts';
import { FollowedPod } from './followed-pod.ts';
import { whoIs } from './identity.ts';
import { inUse } from './in-use.ts';
import { recentUses, usedElsewhere } from './last-uses.ts';
import type { PodStatus } from './status.ts';

export interface AgentsOptions {
  readonly access: KubeAccess;
  readonly namespace: string;
  readonly workload: string;
  readonly identity: SessionIdentity;
  readonly tunnel: TunnelOption;
  /** How long what is open waits for a lost tunnel. */
  readonly resumeMs: number;
  /** What is claimed of each port, whoever answers it now; none: the session only stands inside. */
  readonly intercepts: readonly Omit<Intercept, 'to'>[];
  /** Who answers until setRoute() says so: callers wait where there is no app. */
  readonly routeAtFirst: 'app' | 'held';
  /** Sessions in the way that are gone or idle are ended. */
  readonly takeOver: boolean;
  /** How long callers may wait while a port is `held`. */
  readonly holdMs: number;
  /** Own sessions that died on this laptop: their claims are inherited. */
  readonly replaces: readonly string[];
  readonly credentials: AgentCredentials;
  /** Replicas of the workload now; later changes by setWanted(). */
  readonly wanted: number;
  /** Whether a pod carries this install's agent. */
  readonly belongs: (pod: KubeObject) => boolean;
  readonly onStream: (stream: MuxStream, info: OpenInfo) => void;
  /** Something changed in the volumes of a pod (after `files` with `watch`). */
  readonly onFilesChanged: (pod: string) => void;
  /** `takeOver`: what this session held went to `by`, who asked for it. */
  readonly onEvicted: (by: string, takeOver: boolean) => void;
  /** Callers of a port with a filter do not speak HTTP that the agent can read. Told by each pod. */
  readonly onNotHttp: (appPort: number, speaks: 'tls' | 'other') => void;
  /** The process does not speak TLS, or not what callers have chosen in it. Told by each pod. */
  readonly onTlsLacks: (appPort: number, lacks: TlsLack) => void;
  /** Somebody else has got the workload while no agent could be reached (a laptop that slept for long). */
  readonly onTakenOver: (error: InterceptorError) => void;
  readonly report: Report;
  readonly log: Log;
}

/**
 * Of two sessions that start at the same moment each may get some of the pods. Then the one with the greater id gives up
 * at once, and the other waits this long for it.
 */
const SPLIT_CLAIM_MS = 10_000;

/**
 * Keeps one claimed tunnel to every agent of the workload, pods that come later included, and the routes the same on
 * all of them. Lost tunnels are dialled again for as long as their pod exists.
 */
export class Agents {
  readonly #options: AgentsOptions;
  readonly #pods = new Map<string, FollowedPod>();
  readonly #tasks = new TaskGroup();
  readonly #carriers: CarrierChoice;
  /** Who answers each claimed port, in the order of the intercepts. */
  readonly #routes: RouteTo[];
  readonly #waiters = new Set<() => void>();
  #claiming: Promise<void> = Promise.resolve();
  #fatal: InterceptorError | undefined;
  /** Every ready pod has been covered once: the session is not one that starts any more. */
  #settled = false;
  #splitSinceMs: number | undefined;
  #wanted: number;
  #closed = false;
  readonly #exit = stickyTunnel(() => this.tunnels);

  constructor(options: AgentsOptions) {
    this.#options = options;
    this.#carriers = new CarrierChoice(options.tunnel);
    this.#wanted = options.wanted;
    this.#routes = options.intercepts.map(() => options.routeAtFirst);
  }

  /** Tunnels that are claimed, those among them that wait for another carrier: what is asked of them is asked later. */
  get tunnels(): AgentTunnel[] {
    return [...this.#pods.values()].flatMap(({ tunnel }) => (tunnel === undefined ? [] : [tunnel]));
  }

  /** Tunnels that lead to their agents now. */
  get attached(): AgentTunnel[] {
    return this.tunnels.filter((tunnel) => tunnel.isAttached);
  }

  /** Every pod to which there is a way, or was. */
  get statuses(): PodStatus[] {
    return [...this.#pods.values()].flatMap((pod) => podStatus(pod) ?? []);
  }

  /**
   * The tunnel for what the process asks for: the same one as long as it is up, then another. (A process that logs in by one
   * connection and works by the next is one client to most servers only while it comes from one address.)
   */
  get exit(): AgentTunnel | undefined {
    return this.#exit();
  }

  /** What stands in the way of covering every ready pod, for people; undefined when all are covered. */
  get uncovered(): string | undefined {
    for (const { name, object, tunnel, lost } of this.#pods.values()) {
      if (tunnel?.isAttached !== true && isReady(object))
        return `the tunnel to pod/${name}${lost === undefined ? '' : ` (${lost.reason})`}`;
    }
    return this.tunnels.length === 0 ? 'a pod with the agent' : undefined;
  }

  /** What untilCovered() still waits for, as an error, for a caller that waits no longer. */
  outOfReach(afterMs: number): InterceptorError {
    const what = this.uncovered ?? 'nothing';
    const text = `the agents cannot be reached after ${afterMs / 1000} s, waiting for ${what}`;
    const ready = [...this.#pods.values()].some(({ object }) => isReady(object));
    if (!ready)
      return new InterceptorError('TARGET_NOT_READY', text, { hint: `kubectl get pods -n ${this.#options.namespace}` });
    return new InterceptorError('TUNNEL_REFUSED', text, {
      hint: 'the API server or the kubelet must reach the pods: a firewall may be in the way; --tunnel chooses the carrier',
    });
  }

  setWanted(replicas: number): void {
    this.#wanted = replicas;
  }

  /** Takes the pods' present state from the watch: new agents are dialled, vanished ones let go. */
  see(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubeObject): void {
    const name = object.metadata.name;
    const known = this.#pods.get(name);
    if (type === 'DELETED' || this.#closed) {
      known?.letGo('pod deleted');
      this.#pods.delete(name);
    } else if (known !== undefined) {
      known.see(object);
    } else if (
      this.#options.belongs(object) &&
      runningAgent(object) !== undefined &&
      object.metadata.deletionTimestamp === undefined
    ) {
      const { report, log } = this.#options;
      const pod = new FollowedPod(object, {
        connect: (now, signal, onReached) => this.#connect(now, signal, onReached),
        redial: (tunnel, signal) => this.#carriers.dial((carrier) => tunnel.redial(carrier, signal)),
        onClaimed: (tunnel) => this.#claimed(tunnel),
        onFinal: (error) => this.#giveUp(error),
        onChanged: () => this.#changed(),
        report,
        log,
      });
      this.#pods.set(name, pod);
      this.#tasks.add(pod.follow());
    }
    this.#changed();
  }

  /** Resolves when every ready pod is covered. @throws what makes it impossible (TARGET_IN_USE, …) */
  async untilCovered(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.uncovered === undefined, signal);
    this.#settled = true;
  }

  /** Resolves with `exit` once there is one. */
  async untilConnected(signal: AbortSignal): Promise<AgentTunnel> {
    await this.#until(() => this.tunnels.length > 0, signal);
    const tunnel = this.exit;
    if (tunnel === undefined) throw new InterceptorError('INTERNAL', 'no tunnel');
    return tunnel;
  }

  /**
   * Switches a port on all agents, and on those that come later; resolves when those reachable now follow. One whose tunnel
   * waits for another carrier hears of it then, in the order of all that it was told.
   */
  async setRoute({ appPort, protocol }: AppPort, to: RouteTo): Promise<void> {
    for (const [index, claimed] of this.#options.intercepts.entries())
      if (claimed.appPort === appPort && claimed.protocol === protocol) this.#routes[index] = to;
    const told = this.tunnels.map(async (tunnel) => {
      try {
        const followed = tunnel.control.request('route', { appPort, protocol, to });
        followed.catch(() => {}); // it is looked at below, or the tunnel is over
        await Promise.race([followed, tunnel.untilDetached()]);
      } catch {
        await tunnel.close(); // what it knows is uncertain: dialled again, it claims with the route of then
      }
    });
    await Promise.all(told);
  }

  async release(): Promise<void> {
    await Promise.allSettled(
      this.attached.map((tunnel) => tunnel.control.request('release', {}, { timeoutMs: 1_000 })),
    );
  }

  /** Closes all tunnels; the agents hand what comes to the app. */
  async close(): Promise<void> {
    this.#closed = true;
    const tunnels = this.tunnels;
    for (const pod of this.#pods.values()) pod.letGo('session ended');
    await Promise.all(tunnels.map((tunnel) => tunnel.close()));
    await this.#tasks.close();
  }

  /** Dialling again does not help: a session that starts ends; one that has been taken over, too. */
  #giveUp(error: InterceptorError): void {
    if (!this.#settled) {
      this.#fatal = error;
      void this.release(); // a session that starts at the same moment waits for what we hold
    } else if (error.code === 'TARGET_IN_USE' && this.tunnels.length === 0) this.#options.onTakenOver(error);
  }

  async #connect(pod: KubeObject, signal: AbortSignal, onReached: (tunnel: AgentTunnel) => void): Promise<AgentTunnel> {
    const { access, namespace, identity, credentials, resumeMs, log } = this.#options;
    const { name } = pod.metadata;
    const config = agentConfig(pod);
    if (config === undefined) throw new InterceptorError('INTERNAL', `pod/${name} has an agent without configuration`);
    const options = {
      access,
      address: { namespace, pod: name, tunnelPort: config.tunnelPort, certificate: credentials.tlsCert },
      key: parseTunnelKey(credentials.key),
      identity,
      resumeMs,
      onOpen: this.#options.onStream,
      onEvent: (event: ControlEvent) => this.#heard(name, event),
      log,
    };
    const tunnel = await this.#carriers.dial((carrier) => connectAgentTunnel(options, carrier, signal));
    onReached(tunnel);
    try {
      await this.#claim(tunnel, signal);
    } catch (error) {
      await tunnel.close();
      throw error;
    }
    return tunnel;
  }

  #heard(pod: string, event: ControlEvent): void {
    if (event.event === 'evicted') this.#options.onEvicted(event.by, event.takeOver === true);
    if (event.event === 'not-http') this.#options.onNotHttp(event.appPort, event.speaks);
    if (event.event === 'tls-lacks') this.#options.onTlsLacks(event.appPort, event.lacks);
    if (event.event === 'files-changed') this.#options.onFilesChanged(pod);
  }

  #claimed(tunnel: AgentTunnel): void {
    // A route that changed while the claim was under way has not reached this agent.
    for (const { appPort, protocol, to } of this.#claims)
      void tunnel.control.request('route', { appPort, protocol, to }).catch(() => {}); // tunnel lost: dialled again
    const connected = this.attached.length;
    const wanted = Math.max(this.#wanted, connected);
    this.#options.report({ event: 'connected', pod: tunnel.pod, connected, wanted, carrier: tunnel.carrier });
    this.#changed();
  }

  /** The intercepts as they are now. */
  get #claims(): Intercept[] {
    return this.#options.intercepts.map((intercept, index) => ({ ...intercept, to: this.#routes[index] ?? 'app' }));
  }

  /** One after the other: of two sessions that start together, the one that gets the first pod gets them all. */
  async #claim(tunnel: AgentTunnel, signal: AbortSignal): Promise<void> {
    const turn = this.#claiming.then(async () => {
      const { replaces, takeOver, holdMs } = this.#options;
      if (this.#fatal !== undefined) throw this.#fatal;
      const uses = takeOver ? await this.#recentUses(signal) : new Map<string, number>();
      const spares = [...uses.keys()];
      try {
        await tunnel.control.request('claim', { intercepts: this.#claims, replaces, takeOver, spares, holdMs });
      } catch (error) {
        if (!(error instanceof RequestRefused) || error.refusal.code !== 'TARGET_IN_USE') throw error;
        const { holder } = error.refusal;
        if (this.#waitsFor(holder)) throw new Error(`waiting for ${whoIs(holder)} to give up`);
        throw inUse(this.#options, holder === undefined ? error.refusal : usedElsewhere(error.refusal, holder, uses));
      }
    });
    this.#claiming = turn.catch(() => {});
    await turn;
  }

  /** An agent knows of its own pod's use only: nobody may lose a session here that is used on another pod. */
  async #recentUses(signal: AbortSignal): Promise<Map<string, number>> {
    const pods = (): FollowedPod[] => [...this.#pods.values()];
    await this.#until(() => pods().every(({ object, reached }) => reached !== undefined || !isReady(object)), signal);
    return await recentUses(
      pods().flatMap(({ reached }) => (reached === undefined || reached === 'not' ? [] : [reached])),
    );
  }

  /** Whether the holder is a session that has got some of the pods just now, and will give them up. */
  #waitsFor(holder: Holder | undefined): holder is Holder {
    if (holder === undefined || this.tunnels.length === 0) return false;
    if (!(this.#options.identity.sessionId < holder.sessionId)) return false;
    this.#splitSinceMs ??= Date.now();
    return Date.now() - this.#splitSinceMs < SPLIT_CLAIM_MS;
  }

  async #until(reached: () => boolean, signal: AbortSignal): Promise<void> {
    for (;;) {
      if (this.#fatal !== undefined) throw this.#fatal;
      if (reached()) return;
      if (signal.aborted) throw signal.reason;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiters.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  }

  #changed(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}

function podStatus({ name, tunnel, lost, reached }: FollowedPod): PodStatus | undefined {
  const forMs = lost === undefined ? 0 : Math.round(performance.now() - lost.sinceMs);
  if (tunnel === undefined)
    return lost === undefined || reached === undefined
      ? undefined
      : { pod: name, state: 'disconnected', forMs, reason: lost.reason };
  const { carrier, mux } = tunnel;
  if (lost !== undefined) return { pod: name, carrier, state: 'reconnecting', forMs, reason: lost.reason };
  const { roundTripMs } = mux;
  return { pod: name, carrier, state: 'connected', ...(roundTripMs === undefined ? {} : { roundTripMs }) };
}
