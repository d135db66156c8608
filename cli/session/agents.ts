import { InterceptorError } from '../../src/errors.ts';
import type { TlsLack } from '../../src/http/routing.ts';
import type { Log } from '../../src/log.ts';
import type { OpenInfo } from '../../src/mux/mux.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { AppPort, ControlEvent, RouteTo } from '../../src/protocol/control.ts';
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
import { Claims, type ClaimsOptions } from './claims.ts';
import { Condition } from './condition.ts';
import { outOfReach, uncovered } from './coverage.ts';
import { FollowedPod } from './followed-pod.ts';
import { podStatus } from './pod-status.ts';
import type { PodStatus } from './status.ts';

const RELEASE_TIMEOUT_MS = 1_000;

export interface AgentsOptions extends ClaimsOptions {
  readonly access: KubeAccess;
  readonly tunnel: TunnelOption;
  /** How long what is open waits for a lost tunnel. */
  readonly resumeMs: number;
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
 * Keeps one claimed tunnel to every agent of the workload, pods that come later included, and the routes the same on
 * all of them. Lost tunnels are dialled again for as long as their pod exists.
 */
export class Agents {
  readonly #options: AgentsOptions;
  readonly #pods = new Map<string, FollowedPod>();
  readonly #tasks = new TaskGroup();
  readonly #carriers: CarrierChoice;
  readonly #claims: Claims;
  readonly #condition = new Condition();
  /** Every ready pod has been covered once: the session is not one that starts any more. */
  #settled = false;
  #wanted: number;
  #closed = false;
  /** Nothing is claimed any more, and what was is given back. */
  #released = false;
  readonly #exit = stickyTunnel(() => this.tunnels);

  constructor(options: AgentsOptions) {
    this.#options = options;
    this.#carriers = new CarrierChoice(options.tunnel);
    this.#wanted = options.wanted;
    this.#claims = new Claims(options, {
      anyClaimed: () => this.tunnels.length > 0,
      throwIfOver: () => this.#throwIfOver(),
      refused: (error) => this.#giveUp(error),
      untilReached: (signal) => this.#untilReached(signal),
    });
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
    return uncovered([...this.#pods.values()]);
  }

  /** What untilCovered() still waits for, as an error, for a caller that waits no longer. */
  outOfReach(afterMs: number): InterceptorError {
    return outOfReach([...this.#pods.values()], this.#options.namespace, afterMs);
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
        onChanged: () => this.#condition.changed(),
        report,
        log,
      });
      this.#pods.set(name, pod);
      this.#tasks.add(pod.follow());
    }
    this.#condition.changed();
  }

  /** Resolves when every ready pod is covered. @throws what makes it impossible (TARGET_IN_USE, …) */
  async untilCovered(signal: AbortSignal): Promise<void> {
    await this.#condition.until(() => this.uncovered === undefined, signal);
    this.#settled = true;
  }

  /** Resolves with `exit` once there is one. */
  async untilConnected(signal: AbortSignal): Promise<AgentTunnel> {
    await this.#condition.until(() => this.tunnels.length > 0, signal);
    const tunnel = this.exit;
    if (tunnel === undefined) throw new InterceptorError('INTERNAL', 'no tunnel');
    return tunnel;
  }

  /**
   * Switches a port on all agents, and on those that come later; resolves when those reachable now follow. One whose tunnel
   * waits for another carrier hears of it then, in the order of all that it was told.
   */
  async setRoute({ appPort, protocol }: AppPort, to: RouteTo): Promise<void> {
    this.#claims.route({ appPort, protocol }, to);
    if (this.#released) return;
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

  /** Gives back what is claimed, and what comes of a claim under way; nothing is claimed from now on. */
  async release(): Promise<void> {
    this.#released = true;
    await Promise.all(this.attached.map(release));
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
      this.#condition.fail(error);
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
    let claiming = true;
    // Nobody brings it another carrier before it is claimed, and the claims of all other pods wait for this one.
    void tunnel.untilDetached().then(() => {
      if (claiming) void tunnel.close();
    });
    try {
      await this.#claims.claim(tunnel, signal);
      if (this.#released || signal.aborted) await release(tunnel);
      this.#throwIfOver();
    } catch (error) {
      await tunnel.close();
      throw error;
    } finally {
      claiming = false;
    }
    return tunnel;
  }

  #throwIfOver(): void {
    this.#condition.throwIfFailed();
    if (this.#released) throw new InterceptorError('INTERNAL', 'the session ends');
  }

  #heard(pod: string, event: ControlEvent): void {
    if (event.event === 'evicted') this.#options.onEvicted(event.by, event.takeOver === true);
    if (event.event === 'not-http') this.#options.onNotHttp(event.appPort, event.speaks);
    if (event.event === 'tls-lacks') this.#options.onTlsLacks(event.appPort, event.lacks);
    if (event.event === 'files-changed') this.#options.onFilesChanged(pod);
  }

  #claimed(tunnel: AgentTunnel): void {
    // A route that changed while the claim was under way has not reached this agent.
    for (const { appPort, protocol, to } of this.#claims.intercepts)
      void tunnel.control.request('route', { appPort, protocol, to }).catch(() => {}); // tunnel lost: dialled again
    const connected = this.attached.length;
    const wanted = Math.max(this.#wanted, connected);
    this.#options.report({ event: 'connected', pod: tunnel.pod, connected, wanted, carrier: tunnel.carrier });
    this.#condition.changed();
  }

  async #untilReached(signal: AbortSignal): Promise<AgentTunnel[]> {
    const pods = (): FollowedPod[] => [...this.#pods.values()];
    const tried = ({ object, reached }: FollowedPod): boolean => reached !== undefined || !isReady(object);
    await this.#condition.until(() => pods().every(tried), signal);
    return pods().flatMap(({ reached }) => (reached === undefined || reached === 'not' ? [] : [reached]));
  }
}

/** Without it an agent keeps what is claimed for a while after the tunnel. Never rejects: the tunnel may be lost. */
async function release(tunnel: AgentTunnel): Promise<void> {
  await tunnel.control.request('release', {}, { timeoutMs: RELEASE_TIMEOUT_MS }).catch(() => {});
}
