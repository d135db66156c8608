import { InterceptorError } from '../../src/errors.ts';
import type { AgentStatus } from '../../src/protocol/control.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { isForbidden, type KubeClient } from '../kube/client.ts';
import { workloadText } from '../kube/objects.ts';
import { Agents } from './agents.ts';
import { atMost, pause } from './backoff.ts';
import type { TunnelOption } from './carriers.ts';
import type { CommandEnd } from './command.ts';
import { untilRestored } from './earlier-session.ts';
import type { Guardian } from './guardian.ts';
import { otherHolders } from './hand-back.ts';
import type { AgentHost, Brought } from './host.ts';
import { whoIs } from './identity.ts';
import type { Leave, Leaving } from './leaving.ts';
import { ProcessSide, type ProcessSideOptions } from './process-side.ts';
import type { SessionStatus } from './status.ts';
import { TakenCounts } from './taken-counts.ts';
import { GIVE_BACK_DEADLINE_MS, type Traffic } from './traffic.ts';

/** All that starts ends when leaving is asked; only a change that has been sent is waited for. */
const START_DEADLINE_MS = 20_000;
/** Longer than the back-off between two dials: a way that exists has been found by then. */
const COVER_DEADLINE_MS = 60_000;
const TELL_UNCOVERED_AFTER_MS = 3_000;
/** Whoever asks for the status waits no longer. */
const COUNTS_DEADLINE_MS = 1_000;
const COUNT_EVERY_MS = 30_000;

export interface SessionOptions extends ProcessSideOptions {
  readonly client: KubeClient;
  readonly host: AgentHost;
  /** Undefined: the process only stands inside (`run`). */
  readonly traffic: Traffic | undefined;
  readonly replaces: readonly string[];
  readonly tunnel: TunnelOption;
  /** How long what is open waits for a lost tunnel. */
  readonly resumeMs: number;
  /** performance.now() when the user pressed return. */
  readonly startedAt: number;
  readonly leaving: Leaving;
  readonly guardian: Guardian;
}

/** One running command: brings the agent in, starts the process, moves the traffic, and gives everything back at the end. In one file: the order of it all. */
export class Session {
  readonly #options: SessionOptions;
  readonly #process: ProcessSide;
  readonly #tasks = new TaskGroup();
  readonly #watching = new AbortController();
  /** Resolves when it is ready, or never will be. */
  readonly started: Promise<void>;
  #hasStarted: () => void = () => {};
  #state: 'starting' | 'ready' | 'leaving' = 'starting';
  #waitingFor: string | undefined = 'the cluster';
  #agents: Agents | undefined;
  readonly #counts: TakenCounts;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#counts = new TakenCounts(options.identity.sessionId);
    const { client, host, leaving, guardian } = options;
    this.#process = new ProcessSide(options, {
      client,
      namespace: host.ref.namespace,
      workload: workloadText(host.ref),
      leaving,
      guardian,
    });
    this.started = new Promise((resolve) => {
      this.#hasStarted = resolve;
    });
  }

  /** Whether the traffic has moved and is not being given back. */
  get isReady(): boolean {
    return this.#state === 'ready';
  }

  get status(): SessionStatus {
    const pods = this.#agents?.statuses ?? [];
    const waitingFor = this.#waitingFor ?? this.#agents?.uncovered;
    const { traffic } = this.#options;
    const ports = (traffic?.ports ?? []).map((port) => port.status);
    const { filter, mirror, fallback } = traffic?.sharing ?? {};
    const { status: network, variables } = this.#process;
    const isAway = pods.length > 0 && pods.every(({ state }) => state !== 'connected');
    return {
      state: this.#state === 'ready' && isAway ? 'reconnecting' : this.#state,
      ports,
      ...(filter === undefined ? {} : { filter }),
      ...(mirror === true ? { mirror } : {}),
      ...(fallback === 'refuse' ? { fallback } : {}),
      pods,
      variables: this.#process.sharedVariables,
      ...(waitingFor === undefined ? {} : { waitingFor }),
      ...(network === undefined ? {} : { network }),
      ...(Object.keys(variables).length === 0 ? {} : { variables }),
    };
  }

  /** `status`, with what the agents have counted. */
  async askStatus(): Promise<SessionStatus> {
    await this.#count();
    const { status } = this;
    return { ...status, ports: status.ports.map((port) => ({ ...port, ...this.#counts.of(port) })) };
  }

  async #count(): Promise<void> {
    for (const answer of await this.#askAgents(COUNTS_DEADLINE_MS)) this.#counts.note(answer);
  }

  /** What an agent counts is lost with its pod, or with the claim: it is asked before. */
  async #keepCounting(): Promise<void> {
    const { signal } = this.#watching;
    for (; !signal.aborted; await pause(COUNT_EVERY_MS, signal)) await this.#count();
  }

  /**
   * Runs until the command ends or somebody asks to leave; then restores.
   * @returns the exit code
   * @throws InterceptorError what made it impossible, after everything was given back
   */
  async run(): Promise<number> {
    const { leaving } = this.#options;
    const started = this.#start().catch((error: unknown) => {
      leaving.ask({ reason: 'it failed', exitCode: 1, error });
    });
    void started.then(this.#hasStarted);
    const leave = await leaving.asked;
    // What is under way ends before it is taken back: a patch that arrives after the restore would stay.
    await atMost(started, START_DEADLINE_MS, leaving.forced);
    const commandEnd = await this.#end(leave);
    if (leave.error !== undefined) throw leave.error;
    return commandEnd?.exitCode ?? leave.exitCode;
  }

  async #start(): Promise<void> {
    const { host, traffic, leaving } = this.#options;
    const { signal } = leaving;
    await this.#untilEarlierRestored();
    const agents = this.#createAgents(await host.bring(signal));
    this.#agents = agents;
    traffic?.attach(agents);
    const followed = host.follow(this.#watching.signal, {
      onPod: (type, pod) => agents.see(type, pod),
      onWanted: (replicas) => agents.setWanted(replicas),
      onGone: (reason, error) => this.#endBecause(reason, error),
    });
    // What cannot be followed is not held. At the end nothing of it may be thrown: it would keep us from handing back.
    this.#tasks.add(
      followed.catch((error: unknown) => leaving.ask({ reason: 'the cluster cannot be followed', exitCode: 1, error })),
    );
    const wait = (what: string): void => {
      this.#waitingFor = what;
    };
    const covered = host.untilUp(signal, wait).then(() => this.#untilCovered(agents));
    // A worker of which the app's pods still run would have to share its queue with them.
    const mayStart = traffic?.isWorker === true ? covered : Promise.resolve();
    const connected = mayStart.then(() => agents.untilConnected(signal));
    const commanded = connected.then((tunnel) =>
      this.#process.start(agents, tunnel, async (inner) => {
        for (const port of traffic?.ports ?? []) await port.prepare(inner);
        traffic?.expectProcess();
      }),
    );
    if (!this.#process.hasCommand) traffic?.expectProcess();
    await Promise.all([covered, commanded]);
    if (traffic?.isWorker === true) await this.#warnOfOthers();
    await host.held();
    await traffic?.start(agents, signal, wait);
    // A tunnel that was lost meanwhile leaves a pod whose callers get the app.
    if (traffic !== undefined && agents.uncovered !== undefined) await this.#untilCovered(agents);
    this.#ready(agents);
  }

  async #untilEarlierRestored(): Promise<void> {
    const { client, host, leaving, report } = this.#options;
    const what = `the restore of ${workloadText(host.ref)}`;
    const onWait = (): void => {
      this.#waitingFor = what;
      report({ event: 'waiting', for: what });
    };
    await untilRestored(host.ref, client.access.server, { signal: leaving.signal, onWait });
    leaving.signal.throwIfAborted();
  }

  #ready(agents: Agents): void {
    const { host, traffic, startedAt, report } = this.#options;
    this.#state = 'ready';
    this.#waitingFor = undefined;
    if (traffic !== undefined) this.#tasks.add(this.#keepCounting());
    const personal = traffic?.personal;
    if (personal !== undefined) report(personal); // before 'ready', at which whoever started us by --detach leaves
    report({
      event: 'ready',
      namespace: host.ref.namespace,
      workload: workloadText(host.ref),
      ...(traffic?.describe ?? { service: undefined, ports: [] }),
      pods: agents.attached.length,
      files: this.#process.hasFiles,
      elapsedMs: Math.round(performance.now() - startedAt),
    });
  }

  /** Of a worker nobody can say who gets what. */
  async #warnOfOthers(): Promise<void> {
    const { identity, replaces, report } = this.#options;
    const others = otherHolders(await this.#askAgents(COUNTS_DEADLINE_MS), [identity.sessionId, ...replaces]);
    const names = [...new Set(others.map(whoIs))].join(', ');
    if (names !== '')
      report({ event: 'warning', message: `${names} uses this agent, too, perhaps for a worker like yours` });
  }

  /** Once rolled out, every agent runs: one that stays out of reach is a fault of the way to it. */
  async #untilCovered(agents: Agents): Promise<void> {
    const { leaving, report } = this.#options;
    this.#waitingFor = undefined; // the status tells what the agents wait for
    const late = new AbortController();
    const tell = (): void => {
      if (agents.uncovered !== undefined) report({ event: 'waiting', for: agents.uncovered });
    };
    const timers = [
      setTimeout(tell, TELL_UNCOVERED_AFTER_MS),
      setTimeout(() => late.abort(agents.outOfReach(COVER_DEADLINE_MS)), COVER_DEADLINE_MS),
    ];
    try {
      await agents.untilCovered(AbortSignal.any([leaving.signal, late.signal]));
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  #createAgents({ credentials, wanted, belongs }: Brought): Agents {
    const { client, host, traffic, identity, tunnel, resumeMs, replaces, report, log, leaving } = this.#options;
    return new Agents({
      access: client.access,
      namespace: host.ref.namespace,
      workload: workloadText(host.ref),
      identity,
      tunnel,
      resumeMs,
      intercepts: traffic?.intercepts ?? [],
      routeAtFirst: traffic?.replaces === true ? 'held' : 'app',
      takeOver: traffic?.takesOver ?? false,
      holdMs: traffic?.holdMs ?? 0,
      replaces,
      credentials,
      wanted,
      belongs,
      onStream: (stream, info) => {
        if (traffic === undefined) stream.refuse('refused');
        else traffic.take(stream, info);
      },
      onFilesChanged: (pod) => this.#process.filesChanged(pod),
      onEvicted: (by, takeOver) =>
        leaving.ask({
          reason: takeOver ? `${by} took over what nobody has used here for a minute` : `${by} ran intercept leave`,
          exitCode: 0,
        }),
      onNotHttp: (appPort, speaks) => traffic?.notHttp(appPort, speaks),
      onTlsLacks: (appPort, lacks) => traffic?.tlsLacks(appPort, lacks),
      onTakenOver: (error) => leaving.ask({ reason: error.message, exitCode: error.exitCode, error }),
      report: (event) => {
        // What took the tunnel's carrier has taken the watches and idle connections, too, and may not have told.
        if (event.event === 'reconnecting') client.renewConnections();
        report(event);
      },
      log,
    });
  }

  /** The session is over; for one that has never been ready that is a failure. */
  #endBecause(reason: string, failure: InterceptorError | undefined): void {
    const { leaving, host } = this.#options;
    if (failure !== undefined) leaving.ask({ reason, exitCode: failure.exitCode, error: failure });
    else if (this.#state !== 'starting') leaving.ask({ reason, exitCode: 0 });
    else {
      const hint = 'an earlier session was just being restored, or somebody left it: try again';
      const error = new InterceptorError(
        'CLUSTER_CONFLICT',
        `while the session of ${workloadText(host.ref)} started: ${reason}`,
        { hint },
      );
      leaving.ask({ reason, exitCode: error.exitCode, error });
    }
  }

  async #end(leave: Leave): Promise<CommandEnd | undefined> {
    const { host, traffic, report, leaving, guardian, replaces } = this.#options;
    const { forced } = leaving;
    this.#state = 'leaving';
    this.#waitingFor = undefined;
    if (leave.error === undefined) report({ event: 'leaving', reason: leave.reason });
    await traffic?.giveBack(forced);
    const commandEnd = await this.#process.endCommand(leave);
    await traffic?.drain(forced);
    await this.#process.close();
    // In this order: of two sessions that end at the same moment the later one sees that it is the last.
    await this.#agents?.release();
    const statuses = await this.#askAgents(GIVE_BACK_DEADLINE_MS);
    this.#watching.abort();
    await this.#agents?.close();
    await traffic?.close();
    await this.#tasks.close();
    try {
      const outcome = await host.handBack({ error: leave.error, statuses, replaces, signal: forced });
      if (outcome === 'settled') guardian.done();
      else guardian.handOver(); // looks again in a while
    } catch (error) {
      if (!host.brought && isForbidden(error)) {
        guardian.done(); // nothing was patched, and trying again would be forbidden, too
        return commandEnd;
      }
      // The guardian goes on trying; the user reads what is left and why.
      guardian.handOver();
      if (forced.aborted) {
        report({ event: 'warning', message: 'forced: the rest is restored in the background' });
        return commandEnd;
      }
      if (leave.error === undefined) throw error;
      report({ event: 'warning', message: error instanceof Error ? error.message : String(error) });
    }
    return commandEnd;
  }

  /** What the agents that are connected say; those that are silent for so long are left out. */
  async #askAgents(timeoutMs: number): Promise<AgentStatus[]> {
    const answers = await Promise.allSettled(
      (this.#agents?.attached ?? []).map((tunnel) => tunnel.control.request('status', {}, { timeoutMs })),
    );
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }
}
