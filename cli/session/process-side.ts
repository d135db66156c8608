import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import type { KubeClient } from '../kube/client.ts';
import type { InnerPorts } from '../network/types.ts';
import type { Report } from '../ui/events.ts';
import { clearPassingLine } from '../ui/passing-line.ts';
import type { AgentTunnel } from './agent-tunnel.ts';
import type { Agents } from './agents.ts';
import { atMost } from './backoff.ts';
import { Command, type CommandEnd } from './command.ts';
import { endCommand } from './end-command.ts';
import { removeEnvFile, writeEnvFile } from './env-file.ts';
import { dotenvWarning } from './env-formats/dotenv.ts';
import { commandEnvironment, selectVariables } from './environment.ts';
import { startFiles } from './files/files.ts';
import type { CopiedFiles } from './files/types.ts';
import type { Guardian } from './guardian.ts';
import type { Leave, Leaving } from './leaving.ts';
import { forgetCommand, rememberCommand } from './left-commands.ts';
import { type Network, type NetworkOptions, startNetwork } from './network.ts';
import { markProcess } from './process-mark.ts';
import type { NetworkStatus } from './status.ts';

/** Every step of a start ends when leaving is asked. */
const START_ENDS_MS = 10_000;

/** What the developer asked for on the laptop's side; the same for every command that has a process. */
export interface ProcessSideOptions {
  readonly identity: SessionIdentity;
  readonly command: readonly string[] | undefined;
  readonly env: Readonly<Record<string, string>>;
  /** Absolute path. */
  readonly envFile: string | undefined;
  /** Undefined: the process is left where it is. */
  readonly network: NetworkOptions | undefined;
  /** Undefined: no copies of files. `required`: asked for, so that a failure is one; else only a warning. */
  readonly files: { readonly exclude: readonly string[]; readonly required: boolean } | undefined;
  /** False: the process and those of this user's other sessions call each other through the cluster. */
  readonly direct?: boolean;
  readonly report: Report;
  readonly log: Log;
}

export type BeforeCommand = (inner: InnerPorts | undefined) => Promise<void>;

/** The session that the process belongs to. */
export interface ProcessContext {
  readonly client: KubeClient;
  readonly namespace: string;
  /** For people. */
  readonly workload: string;
  readonly leaving: Leaving;
  readonly guardian: Guardian;
}

/** The laptop's side of a session: network, files and environment of the pod, and the command that stands among them. */
export class ProcessSide {
  readonly #options: ProcessSideOptions;
  readonly #context: ProcessContext;
  readonly #leaving: Leaving;
  #network: Network | undefined;
  #files: CopiedFiles | undefined;
  #command: Command | undefined;
  #starting: Promise<void> = Promise.resolve();

  constructor(options: ProcessSideOptions, context: ProcessContext) {
    this.#options = options;
    this.#context = context;
    this.#leaving = context.leaving;
  }

  get hasCommand(): boolean {
    return this.#options.command !== undefined;
  }

  get hasFiles(): boolean {
    return this.#files !== undefined;
  }

  get status(): NetworkStatus | undefined {
    return this.#network?.status;
  }

  /** For processes that this session has not started (`intercept env`): a namespace is the command's alone. */
  get sharedVariables(): Record<string, string> {
    const root = this.#files?.root;
    const ofProxy = this.#network?.inside.mode === 'proxy' ? this.#network.inside.variables : {};
    return { ...(root === undefined ? {} : { INTERCEPT_ROOT: root }), ...ofProxy };
  }

  /** What leads other processes of this user to what this session has opened. */
  get variables(): Readonly<Record<string, string>> {
    return this.#ownVariables();
  }

  /** An agent's volumes have changed. */
  filesChanged(pod: string): void {
    this.#files?.changed(pod);
  }

  /**
   * Starts all of it, the command last. What has been started when this throws, or when leaving is asked, is for end() and
   * close() to end.
   * @param tunnel any that is up
   * @param beforeCommand the last look before the command is started; gets its ports where they are its own
   * @throws InterceptorError COMMAND_NOT_FOUND, USAGE_BAD_*; the signal's reason
   */
  async start(agents: Agents, tunnel: AgentTunnel, beforeCommand: BeforeCommand): Promise<void> {
    const starting = this.#start(agents, tunnel, beforeCommand);
    this.#starting = starting.catch(() => {}); // told to the caller
    await starting;
  }

  async #start(agents: Agents, tunnel: AgentTunnel, beforeCommand: BeforeCommand): Promise<void> {
    const { command, env, envFile, identity, report } = this.#options;
    const { signal } = this.#leaving;
    const [{ variables }] = await Promise.all([
      tunnel.control.request('environment', {}),
      this.#startFiles(agents, signal),
    ]);
    await this.#startNetwork(agents, tunnel, variables);
    const inside = this.#network?.inside;
    if (this.#leaving.isAsked) return; // a file written from now on would stay
    if (envFile !== undefined) {
      const all = { ...selectVariables(variables), ...this.#ownVariables(), ...env };
      await writeEnvFile(envFile, identity.sessionId, all);
      const misread = dotenvWarning(all);
      if (misread !== undefined) report({ event: 'warning', message: `${envFile}: ${misread}` });
    }
    if (command === undefined || this.#leaving.isAsked) return;
    await beforeCommand(inside?.ports);
    if (this.#leaving.isAsked) return;
    const argv = inside?.wrap(command, process.cwd()) ?? command;
    const environment = commandEnvironment({
      laptop: process.env,
      pod: variables,
      inside: this.#ownVariables(),
      mode: inside?.mode ?? 'none',
      overrides: env,
    });
    clearPassingLine(); // the command may write before we hear that it runs
    const running = await Command.start(argv, environment);
    this.#command = running;
    await this.#noteCommand(running.pid);
    report({ event: 'command-started', pid: running.pid });
    void running.ended.then((end) => this.#leaving.ask({ reason: `the command ${end.text}`, exitCode: end.exitCode }));
  }

  /** For whoever has to end it when this session is killed: its guardian, or the next run. */
  async #noteCommand(pid: number): Promise<void> {
    const { identity, log } = this.#options;
    const { guardian, namespace, workload } = this.#context;
    const command = await markProcess(pid);
    guardian.setCommand(command);
    await rememberCommand({ sessionId: identity.sessionId, workload, namespace, command }, guardian.pid).catch(
      (error: unknown) => log.debug('the command could not be noted', { reason: errorText(error) }), // a full disk
    );
  }

  /** Ends the command, as it was asked to, and waits for it. */
  async endCommand(leave: Leave): Promise<CommandEnd | undefined> {
    const { forced } = this.#leaving;
    await atMost(this.#starting, START_ENDS_MS, forced); // what it still brings about is ended with the rest
    const command = this.#command;
    if (command === undefined) return undefined;
    return await endCommand(command, leave, { forced, report: this.#options.report });
  }

  /** Removes what start() has put on the laptop, the command having ended. Reports what cannot be removed. */
  async close(): Promise<void> {
    const { envFile, identity, report } = this.#options;
    const warn =
      (what: string) =>
      (error: unknown): void =>
        report({ event: 'warning', message: `${what} could not be removed: ${errorText(error)}` });
    if (this.#command !== undefined) await forgetCommand(identity.sessionId).catch(warn('the note of the command'));
    await this.#network?.close().catch(warn('the network of the command'));
    await this.#files?.close().catch(warn('the copies of the files'));
    if (envFile !== undefined) await removeEnvFile(envFile, identity.sessionId).catch(warn(envFile));
  }

  /** The variables that lead the command to what this session has made for it. */
  #ownVariables(): Record<string, string> {
    const root = this.#files?.root;
    return { ...(root === undefined ? {} : { INTERCEPT_ROOT: root }), ...this.#network?.inside.variables };
  }

  async #startFiles(agents: Agents, signal: AbortSignal): Promise<void> {
    const { files, identity, command, report, log } = this.#options;
    if (files === undefined || signal.aborted) return;
    const { exclude, required } = files;
    try {
      const copied = await startFiles({ source: agents, sessionId: identity.sessionId, exclude, report, log, signal });
      this.#files = copied;
      if (command === undefined) report({ event: 'files', root: copied.root, paths: copied.roots });
    } catch (error) {
      if (required || signal.aborted) throw error;
      const hint = error instanceof InterceptorError && error.hint !== undefined ? ` (${error.hint})` : '';
      report({ event: 'warning', message: `the files of the pod are not copied: ${errorText(error)}${hint}` });
    }
  }

  async #startNetwork(
    agents: Agents,
    tunnel: AgentTunnel,
    podVariables: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { network, command, report, log } = this.#options;
    if (network === undefined || this.#leaving.isAsked) return;
    const podNetwork = await tunnel.control.request('network', {});
    const started = await startNetwork({
      ...network,
      client: this.#context.client,
      namespace: this.#context.namespace,
      command: command !== undefined,
      commandPath: this.#options.env.PATH ?? process.env.PATH,
      podVariables,
      direct: this.#options.direct !== false,
      agents,
      podNetwork,
      files: this.#files,
      signal: this.#leaving.signal,
      report,
      log,
    });
    this.#network = started;
    const { inside, status } = started;
    const tells = command === undefined && inside.mode === 'proxy'; // whoever starts the process needs them
    report({ event: 'network', ...status, ...(tells ? { variables: inside.variables } : {}) });
  }
}
