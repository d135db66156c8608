import { InterceptorError } from '../../src/errors.ts';
import type { TlsLack } from '../../src/http/routing.ts';
import type { OpenInfo } from '../../src/mux/mux.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { AppPort, Intercept, RouteTo } from '../../src/protocol/control.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { personalHints } from '../commands/filter-options.ts';
import type { KubeClient } from '../kube/client.ts';
import { isHeadless, type Service } from '../kube/objects.ts';
import type { InstallMode } from '../kube/record.ts';
import type { Report, SessionEvent, Taken } from '../ui/events.ts';
import type { Agents } from './agents.ts';
import { atMost } from './backoff.ts';
import { untilOnlyAgents } from './endpoints.ts';
import type { ProcessPort } from './process-port.ts';
import { proveThroughService } from './proof.ts';
import { serviceUrl } from './service-url.ts';
import type { WorkloadHost } from './workload-host.ts';

/** Agents that do not answer must not hold up the end; they notice the lost tunnel by themselves. */
export const GIVE_BACK_DEADLINE_MS = 1_000;
/** Connections that are busy when the session ends may go on for this long. */
const DRAIN_DEADLINE_MS = 5_000;

export type ProcessPortRoute = (port: AppPort, to: RouteTo) => Promise<void>;

/** How a session takes what it takes: the same on all its ports. */
export type Sharing = Pick<Intercept, 'filter' | 'mirror' | 'fallback' | 'mark' | 'tls'>;

export interface TrafficOptions {
  readonly client: KubeClient;
  readonly host: WorkloadHost;
  /** The Services whose callers are meant; none where ports of the pod are taken, or none at all. */
  readonly services: readonly Service[];
  readonly mode: InstallMode['kind'];
  readonly sharing: Sharing;
  readonly takeOver: boolean;
  /** How long callers wait for a process that has gone. */
  readonly holdMs: number;
  readonly ports: (setRoute: ProcessPortRoute) => readonly ProcessPort[];
  /** How long a command that was started may take to listen; undefined without a command. */
  readonly listenTimeoutMs: number | undefined;
  readonly report: Report;
}

/** What an intercept is more than a `run`: the Service's callers reach the process. */
export class Traffic {
  readonly ports: readonly ProcessPort[];
  readonly #options: TrafficOptions;
  readonly #tasks = new TaskGroup();
  readonly #following = new AbortController();
  readonly #toldNotHttp = new Set<number>();
  readonly #toldLacks = new Set<string>();
  #agents: Agents | undefined;
  #moved: Promise<void> | undefined;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.ports = options.ports(async (port, to) => await this.#agents?.setRoute(port, to));
  }

  get services(): readonly Service[] {
    return this.#options.services;
  }

  get sharing(): Sharing {
    return this.#options.sharing;
  }

  /** What is taken, for people and events. */
  get describe(): Taken {
    const { mode, sharing } = this.#options;
    const services = this.#options.services.map(({ metadata }) => metadata.name);
    return {
      service: services[0],
      ...(services.length > 1 ? { services } : {}),
      ports: this.ports.map((port) => port.describe),
      ...(mode === 'sidecar' ? {} : { mode }),
      ...(sharing.mirror ? { mirror: true } : {}),
      ...(sharing.fallback === 'refuse' ? { fallback: 'refuse' } : {}),
      ...(sharing.filter === undefined ? {} : { filter: sharing.filter }),
    };
  }

  /** How to send requests that are taken, where that is by a personal key. */
  get personal(): SessionEvent | undefined {
    const { sharing, services, host } = this.#options;
    const port = this.ports.find(({ choice }) => choice.service !== undefined);
    const service = services.find(({ metadata }) => metadata.name === port?.choice.service);
    if (sharing.filter === undefined || port === undefined || service === undefined) return undefined;
    const scheme = sharing.tls === undefined ? 'http' : 'https';
    const url = serviceUrl(service, host.ref.namespace, port.choice.servicePort, scheme);
    const hints = personalHints(sharing.filter, url);
    return hints === undefined ? undefined : { event: 'personal', ...hints };
  }

  /** What is to be claimed. */
  get intercepts(): Omit<Intercept, 'to'>[] {
    return this.ports.map(({ key }) => ({ ...this.#options.sharing, ...key }));
  }

  get takesOver(): boolean {
    return this.#options.takeOver;
  }

  get holdMs(): number {
    return this.#options.holdMs;
  }

  /** Takes a caller's stream from an agent. */
  take(stream: MuxStream, { kind, port: appPort }: OpenInfo): void {
    const protocol = kind === 'incoming' ? 'tcp' : 'udp';
    const port = this.ports.find(({ key }) => key.appPort === appPort && key.protocol === protocol);
    if (port === undefined) stream.refuse('refused');
    else port.take(stream);
  }

  /** Callers of a port with a filter do not speak HTTP that the agent can read: the app gets them. Told once a port. */
  notHttp(appPort: number, speaks: 'tls' | 'other'): void {
    if (this.#toldNotHttp.has(appPort)) return;
    this.#toldNotHttp.add(appPort);
    const what = speaks === 'tls' ? 'speak TLS' : 'do not speak HTTP';
    const hint =
      speaks === 'tls'
        ? '; for the agent to read their requests: --tls-from <secret>'
        : '; to have all of it, leave the filter out';
    const message = `callers of port ${appPort} of the app ${what}: the filter takes nothing of it, the app answers${hint}`;
    this.#options.report({ event: 'warning', message });
  }

  /** Callers whose TLS is ended speak in it what the process does not. Told once a port and lack. */
  tlsLacks(appPort: number, lacks: TlsLack): void {
    const key = `${appPort} ${lacks}`;
    if (this.#toldLacks.has(key)) return;
    this.#toldLacks.add(key);
    const what = { tls: 'TLS', h2: 'HTTP/2 in TLS', 'http/1.1': 'HTTP/1.1 in TLS' }[lacks];
    const who =
      this.#options.sharing.fallback === 'refuse' || this.replaces ? 'they get an error' : 'the app answers them';
    const message = `the process does not speak ${what}, as callers of port ${appPort} of the app do: ${who}`;
    this.#options.report({ event: 'warning', message });
  }

  /** The agents that are to be told who answers. */
  attach(agents: Agents): void {
    this.#agents = agents;
  }

  /**
   * The process may listen from now on. In the place of the app nobody else answers, so callers of the first pods get it before
   * the others have rolled out.
   */
  expectProcess(): void {
    if (this.replaces) void this.#follow(); // never rejects
  }

  /** Whether there is no app to answer. */
  get replaces(): boolean {
    return this.#options.mode === 'replace';
  }

  /** Whether the process takes the app's place, and nobody calls it. */
  get isWorker(): boolean {
    return this.replaces && this.ports.length === 0;
  }

  /**
   * Moves the traffic, and proves that it came: the agents must be up.
   * @param onWait what is waited for, for the status
   * @throws InterceptorError PROCESS_NOT_LISTENING, CLUSTER_*; the signal's reason
   */
  async start(agents: Agents, signal: AbortSignal, onWait: (what: string) => void): Promise<void> {
    const { client, host, report } = this.#options;
    if (this.ports.length === 0) return;
    const services: Service[] = [];
    for (const service of this.#options.services)
      services.push((await host.retarget(service.metadata.name, signal)) ?? service);
    const carriers = (): string[] => agents.attached.map(({ pod }) => pod);
    for (const { metadata } of services) {
      const strangers = await untilOnlyAgents(client, host.ref.namespace, metadata.name, carriers, signal);
      if (strangers.length === 0) continue;
      const message = `service/${metadata.name} still leads to pods without the agent: ${strangers.join(', ')}`;
      report({ event: 'warning', message });
    }
    onWait(`a process on ${this.ports.map((port) => port.address).join(', ')}`);
    await this.#move(signal);
    onWait('a request through the Service');
    await this.#prove(agents, services, signal);
  }

  /** New connections go to the app from now on. */
  async giveBack(forced: AbortSignal): Promise<void> {
    this.#following.abort();
    await atMost(Promise.all(this.ports.map((port) => port.giveBack())), GIVE_BACK_DEADLINE_MS, forced);
  }

  async drain(forced: AbortSignal): Promise<void> {
    await atMost(Promise.all(this.ports.map((port) => port.drain(DRAIN_DEADLINE_MS))), DRAIN_DEADLINE_MS, forced);
  }

  async close(): Promise<void> {
    this.#following.abort();
    await Promise.all(this.ports.map((port) => port.close()));
    await this.#tasks.close();
  }

  /** Resolves once every port's process listens and the agents hand over to it; from then on routes follow the process. */
  async #move(signal: AbortSignal): Promise<void> {
    const { listenTimeoutMs } = this.#options;
    signal.throwIfAborted(); // a listener would not be told any more
    const moved = this.#follow();
    const stopped = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    const timer = listenTimeoutMs === undefined ? undefined : this.#listenDeadline(listenTimeoutMs);
    try {
      await Promise.race([moved, stopped, ...(timer === undefined ? [] : [timer.expired])]);
    } finally {
      timer?.cancel();
    }
  }

  /** Resolves when every process has listened. Safe to repeat. */
  #follow(): Promise<void> {
    this.#moved ??= Promise.all(
      this.ports.map(
        (port) =>
          new Promise<void>((resolve) => {
            const expected = this.#options.listenTimeoutMs !== undefined;
            this.#tasks.add(port.follow(this.#following.signal, { expected, onFirst: resolve }));
          }),
      ),
    ).then(() => {});
    return this.#moved;
  }

  #listenDeadline(timeoutMs: number): { expired: Promise<never>; cancel: () => void } {
    let cancel = (): void => {};
    const expired = new Promise<never>((_, reject) => {
      const timer = setTimeout(() => {
        const missing = this.ports.filter((port) => !port.status.listening).map((port) => port.address);
        const text = `the command has not listened on ${missing.join(', ')} within ${timeoutMs / 1000} s`;
        const hint = 'check the port in --port <local>, or give it more time: --listen-timeout <seconds>';
        reject(new InterceptorError('PROCESS_NOT_LISTENING', text, { hint }));
      }, timeoutMs);
      cancel = () => clearTimeout(timer);
    });
    return { expired, cancel };
  }

  /** A port that is taken without a Service, or of one that has no address, has nothing to be proved by. */
  async #prove(agents: Agents, services: readonly Service[], signal: AbortSignal): Promise<void> {
    const { report } = this.#options;
    for (const { choice } of this.ports) {
      const service = services.find(({ metadata }) => metadata.name === choice.service);
      if (service === undefined || isHeadless(service)) continue;
      const proof = await proveThroughService(agents.attached, service, choice, signal);
      if (signal.aborted) throw signal.reason;
      const { servicePort } = choice;
      if (proof.proved) report({ event: 'proved', servicePort, from: proof.from, pod: proof.pod });
      else {
        const message = `port ${servicePort} could not be proved through the Service: ${proof.reason}`;
        report({ event: 'warning', message });
      }
    }
  }
}
