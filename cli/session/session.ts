import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { AgentStatus, SessionIdentity } from '../../src/protocol/control.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { type Installed, install, markKept, retargetService } from '../kube/apply.ts';
import { isForbidden, type KubeClient } from '../kube/client.ts';
import { newInstallId } from '../kube/names.ts';
import { type Service, type WorkloadRef, workloadText } from '../kube/objects.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { waitForRollout } from '../kube/rollout.ts';
import type { PortReport, Report } from '../ui/events.ts';
import { clearPassingLine } from '../ui/passing-line.ts';
import type { AgentTunnel } from './agent-tunnel.ts';
import { Agents, podUsesInstall } from './agents.ts';
import { atMost } from './backoff.ts';
import type { TunnelOption } from './carriers.ts';
import { Command, type CommandEnd } from './command.ts';
import { untilOnlyAgents } from './endpoints.ts';
import { removeEnvFile, writeEnvFile } from './env-file.ts';
import { commandEnvironment, selectVariables } from './environment.ts';
import { followObjects } from './follow-objects.ts';
import type { Guardian } from './guardian.ts';
import { handBack, restoreFailed } from './hand-back.ts';
import type { Leave, Leaving } from './leaving.ts';
import type { ProcessPort } from './process-port.ts';
import { proveThroughService } from './proof.ts';
import type { SessionStatus } from './status.ts';

/** Agents that do not answer must not hold up the end; they notice the lost tunnel by themselves. */
const GIVE_BACK_DEADLINE_MS = 1_000;
/** All that starts ends when leaving is asked; only a change that has been sent is waited for. */
const START_DEADLINE_MS = 20_000;
/** Longer than the back-off between two dials: a way that exists has been found by then. */
const COVER_DEADLINE_MS = 60_000;
const TELL_UNCOVERED_AFTER_MS = 3_000;
/** Connections that are busy when the session ends may go on for this long. */
const DRAIN_DEADLINE_MS = 5_000;

export interface SessionOptions {
  readonly client: KubeClient;
  readonly identity: SessionIdentity;
  readonly ref: WorkloadRef;
  readonly service: Service;
  readonly request: InstallRequest;
  readonly ports: (setRoute: ProcessPortRoute) => readonly ProcessPort[];
  readonly replaces: readonly string[];
  readonly tunnel: TunnelOption;
  readonly command: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly envFile: string | undefined;
  readonly keepAgent: boolean;
  readonly listenTimeoutMs: number;
  readonly startedAt: number;
  readonly leaving: Leaving;
  readonly guardian: Guardian;
  readonly report: Report;
  readonly log: Log;
}

export type ProcessPortRoute = (appPort: number, to: 'laptop' | 'app') => Promise<void>;

/** One running intercept: brings the agent in, moves the traffic, and gives everything back at the end. */
export class Session {
  readonly #options: SessionOptions;
  readonly #ports: readonly ProcessPort[];
  readonly #tasks = new TaskGroup();
  readonly #following = new AbortController();
  readonly #watching = new AbortController();
  readonly #installId = newInstallId();
  /** Resolves when traffic has moved, or never will. */
  readonly started: Promise<void>;
  #hasStarted: () => void = () => {};
  #state: SessionStatus['state'] = 'starting';
  #waitingFor: string | undefined = 'the cluster';
  #agents: Agents | undefined;
  #installed: Installed | undefined;
  #command: Command | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.started = new Promise((resolve) => {
      this.#hasStarted = resolve;
    });
    this.#ports = options.ports(async (appPort, to) => await this.#agents?.setRoute(appPort, to));
  }

  get status(): SessionStatus {
    const pods = (this.#agents?.tunnels ?? []).map(({ pod, carrier, mux }) => ({
      pod,
      carrier,
      ...(mux.roundTripMs === undefined ? {} : { roundTripMs: mux.roundTripMs }),
    }));
    const waitingFor = this.#waitingFor ?? this.#agents?.uncovered;
    const ports = this.#ports.map((port) => port.status);
    return { state: this.#state, ports, pods, ...(waitingFor === undefined ? {} : { waitingFor }) };
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
    const { client, request, ref, report, leaving } = this.#options;
    const { signal } = leaving;
    const installed = await install(client, { ...request, installId: this.#installId }, { signal });
    this.#installed = installed;
    for (const message of installed.warnings) report({ event: 'warning', message });
    const workload = workloadText(ref);
    if (installed.reused) report({ event: 'agent-present', workload });
    else report({ event: 'patched', workload, agentImage: installed.record.image });
    const agents = this.#createAgents(installed);
    this.#agents = agents;
    this.#watchCluster(installed, agents);

    const covered = this.#untilRolledOut(installed).then(() => this.#untilCovered(agents));
    const commanded = agents.untilConnected(signal).then((tunnel) => this.#startCommand(tunnel));
    await Promise.all([covered, commanded]);
    if (request.keepAgent) await markKept(client, ref, installed.record);
    const service = await retargetService(client, ref, installed.record, { signal });
    if (service !== undefined) report({ event: 'retargeted', service: service.metadata.name });
    const strangers = await untilOnlyAgents(
      client,
      ref.namespace,
      this.#options.service.metadata.name,
      () => agents.tunnels.map(({ pod }) => pod),
      signal,
    );
    if (strangers.length > 0) {
      const message = `the Service still leads to pods without the agent: ${strangers.join(', ')}`;
      report({ event: 'warning', message });
    }
    await this.#moveTraffic(signal);
    await this.#prove(agents, service ?? this.#options.service, signal);
    this.#state = 'ready';
    this.#waitingFor = undefined;
    report({
      event: 'ready',
      namespace: ref.namespace,
      workload,
      service: this.#options.service.metadata.name,
      ports: this.#ports.map((port): PortReport => port.describe),
      pods: agents.tunnels.length,
      elapsedMs: Math.round(performance.now() - this.#options.startedAt),
    });
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

  #createAgents(installed: Installed): Agents {
    const { client, identity, ref, tunnel, replaces, report, log, leaving } = this.#options;
    return new Agents({
      access: client.access,
      namespace: ref.namespace,
      workload: workloadText(ref),
      identity,
      tunnel,
      appPorts: this.#ports.map((port) => port.choice.appPort),
      replaces,
      credentials: installed.credentials,
      wanted: installed.workload.spec.replicas ?? 1,
      belongs: (pod) => podUsesInstall(pod, installed.record),
      onStream: (stream, info) => {
        const port = this.#ports.find(({ choice }) => choice.appPort === info.port);
        if (port === undefined) stream.refuse('refused');
        else port.take(stream);
      },
      onEvicted: (by) => leaving.ask({ reason: `${by} ran intercept leave`, exitCode: 0 }),
      onTakenOver: (error) => leaving.ask({ reason: error.message, exitCode: error.exitCode, error }),
      report,
      log,
    });
  }

  /** Follows the pods, and notices when somebody takes the agent out or deletes the workload. */
  #watchCluster(installed: Installed, agents: Agents): void {
    const { client, ref, log } = this.#options;
    const signal = this.#watching.signal;
    this.#tasks.add(
      followObjects(
        client,
        { ref, workload: installed.workload, record: installed.record, signal, log },
        {
          onPod: (type, pod) => agents.see(type, pod),
          onWanted: (replicas) => agents.setWanted(replicas),
          onGone: (reason) => this.#endBecause(reason),
        },
      ),
    );
  }

  /** The intercept is over; for a session that has never been ready that is a failure. */
  #endBecause(reason: string): void {
    const { leaving, ref } = this.#options;
    if (this.#state !== 'starting') leaving.ask({ reason, exitCode: 0 });
    else {
      const hint = 'an earlier session was just being restored, or somebody left it: try again';
      const error = new InterceptorError(
        'CLUSTER_CONFLICT',
        `while the session of ${workloadText(ref)} started: ${reason}`,
        { hint },
      );
      leaving.ask({ reason, exitCode: error.exitCode, error });
    }
  }

  async #untilRolledOut(installed: Installed): Promise<void> {
    const { client, ref, report, leaving } = this.#options;
    const { generation } = installed.workload.metadata;
    await waitForRollout(client, ref, {
      signal: leaving.signal,
      ...(generation === undefined ? {} : { generation }),
      onProgress: ({ updatedReady, wanted, waitingFor }) => {
        this.#waitingFor = waitingFor ?? `pods ${updatedReady}/${wanted}`;
        const held = waitingFor === undefined ? {} : { waitingFor };
        report({ event: 'rollout', ready: updatedReady, wanted, ...held });
      },
    });
  }

  async #startCommand(tunnel: AgentTunnel): Promise<void> {
    const { command, env, envFile, identity, report, leaving, guardian } = this.#options;
    if (command === undefined && envFile === undefined) return;
    const { variables } = await tunnel.control.request('environment', {});
    if (leaving.isAsked) return; // a file written from now on would stay
    if (envFile !== undefined)
      await writeEnvFile(envFile, identity.sessionId, { ...selectVariables(variables), ...env });
    if (command === undefined || leaving.isAsked) return;
    for (const port of this.#ports) await port.requireFree(); // somebody may have taken it since the first look
    clearPassingLine(); // the command may write before we hear that it runs
    const started = await Command.start(command, commandEnvironment(process.env, variables, env));
    this.#command = started;
    guardian.setCommand(started.pid);
    report({ event: 'command-started', pid: started.pid });
    void started.ended.then((end) => leaving.ask({ reason: `the command ${end.text}`, exitCode: end.exitCode }));
  }

  /** Resolves once every port's process listens and the agents hand over to it; from then on routes follow the process. */
  async #moveTraffic(signal: AbortSignal): Promise<void> {
    const { command, listenTimeoutMs } = this.#options;
    this.#waitingFor = `a process on ${this.#ports.map((port) => port.address).join(', ')}`;
    const moved = Promise.all(
      this.#ports.map(
        (port) =>
          new Promise<void>((resolve) => {
            this.#tasks.add(port.follow(this.#following.signal, { expected: command !== undefined, onFirst: resolve }));
          }),
      ),
    );
    const stopped = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    const timer = command === undefined ? undefined : this.#listenDeadline(listenTimeoutMs);
    try {
      await Promise.race([moved, stopped, ...(timer === undefined ? [] : [timer.expired])]);
    } finally {
      timer?.cancel();
    }
  }

  #listenDeadline(timeoutMs: number): { expired: Promise<never>; cancel: () => void } {
    let cancel = (): void => {};
    const expired = new Promise<never>((_, reject) => {
      const timer = setTimeout(() => {
        const missing = this.#ports.filter((port) => !port.status.listening).map((port) => port.address);
        const text = `the command has not listened on ${missing.join(', ')} within ${timeoutMs / 1000} s`;
        const hint = 'check the port in --port <local>, or give it more time: --listen-timeout <seconds>';
        reject(new InterceptorError('PROCESS_NOT_LISTENING', text, { hint }));
      }, timeoutMs);
      cancel = () => clearTimeout(timer);
    });
    return { expired, cancel };
  }

  async #prove(agents: Agents, service: Service, signal: AbortSignal): Promise<void> {
    const { report } = this.#options;
    this.#waitingFor = 'a request through the Service';
    for (const { choice } of this.#ports) {
      const proof = await proveThroughService(agents.tunnels, service, choice, signal);
      if (signal.aborted) throw signal.reason;
      if (proof.proved) report({ event: 'proved', servicePort: choice.servicePort, from: proof.from, pod: proof.pod });
      else
        report({
          event: 'warning',
          message: `port ${choice.servicePort} could not be proved through the Service: ${proof.reason}`,
        });
    }
  }

  async #end(leave: Leave): Promise<CommandEnd | undefined> {
    const { report, leaving, guardian, envFile, identity } = this.#options;
    this.#state = 'leaving';
    this.#waitingFor = undefined;
    if (leave.error === undefined) report({ event: 'leaving', reason: leave.reason });
    this.#following.abort();
    await atMost(Promise.all(this.#ports.map((port) => port.giveBack())), GIVE_BACK_DEADLINE_MS, leaving.forced);
    const commandEnd = await this.#endCommand(leave);
    await atMost(
      Promise.all(this.#ports.map((port) => port.drain(DRAIN_DEADLINE_MS))),
      DRAIN_DEADLINE_MS,
      leaving.forced,
    );
    const statuses = await this.#askOthers();
    await this.#agents?.release();
    this.#watching.abort();
    await this.#agents?.close();
    await Promise.all(this.#ports.map((port) => port.close()));
    await this.#tasks.close();
    if (envFile !== undefined)
      await removeEnvFile(envFile, identity.sessionId).catch((error: unknown) =>
        report({ event: 'warning', message: `${envFile} could not be removed: ${errorText(error)}` }),
      );
    try {
      await this.#handBack(leave, statuses);
      guardian.done();
    } catch (cause) {
      if (this.#installed === undefined && isForbidden(cause)) {
        guardian.done(); // nothing was patched, and trying again would be forbidden, too
        return commandEnd;
      }
      // The guardian goes on trying; the user reads what is left and why.
      guardian.handOver();
      if (leaving.forced.aborted) {
        report({ event: 'warning', message: 'forced: the rest is restored in the background' });
        return commandEnd;
      }
      const error = restoreFailed(this.#options.ref, cause);
      if (leave.error === undefined) throw error;
      report({ event: 'warning', message: error.message });
    }
    return commandEnd;
  }

  async #endCommand(leave: Leave): Promise<CommandEnd | undefined> {
    const command = this.#command;
    if (command === undefined) return undefined;
    const { forced } = this.#options.leaving;
    // A Ctrl-C on a terminal has reached the command too: it is in the same process group.
    if (leave.signal !== 'SIGINT' || process.stdin.isTTY !== true) command.signal(leave.signal ?? 'SIGTERM');
    const force = (): void => void command.killTree();
    if (forced.aborted) force();
    else forced.addEventListener('abort', force, { once: true });
    return await command.ended;
  }

  /** Who else uses the agents, asked while the tunnels are still up. */
  async #askOthers(): Promise<AgentStatus[]> {
    const answers = await Promise.allSettled(
      (this.#agents?.tunnels ?? []).map((tunnel) =>
        tunnel.control.request('status', {}, { timeoutMs: GIVE_BACK_DEADLINE_MS }),
      ),
    );
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  async #handBack(leave: Leave, statuses: readonly AgentStatus[]): Promise<void> {
    const { client, ref, identity, keepAgent, report, log, leaving, replaces } = this.#options;
    const inUse = leave.error instanceof InterceptorError && leave.error.code === 'TARGET_IN_USE';
    // Nothing of ours is there, or it is somebody else's.
    if (
      inUse ||
      (this.#installed === undefined && leave.error instanceof InterceptorError && isBeforePatch(leave.error))
    )
      return;
    await handBack({
      client,
      ref,
      identity,
      ownSessions: [identity.sessionId, ...replaces],
      keepAgent: keepAgent && leave.error === undefined,
      always: false,
      // Nothing but an install that got stuck half-way is ours then.
      installId: this.#installed === undefined ? this.#installId : undefined,
      report,
      log,
      ...(statuses.length === 0 ? {} : { statuses }),
      signal: leaving.forced,
    });
  }
}

/** Refusals that come before anything was written. */
function isBeforePatch(error: InterceptorError): boolean {
  return error.code.startsWith('USAGE_') || error.code.startsWith('TARGET_');
}
