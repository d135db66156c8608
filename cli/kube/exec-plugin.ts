import * as path from 'node:path';
import { InterceptorError } from '../../src/errors.ts';
import { runPlugin } from './exec-plugin-run.ts';
import type { Credentials } from './kubeconfig-types.ts';

/** Renewed this long before the plugin's expirationTimestamp, so that no request carries a token that ends on its way. */
const EXPIRY_MARGIN_MS = 10_000;

/** The `exec` of a kubeconfig's user (client.authentication.k8s.io). */
export interface ExecConfig {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly installHint: string | undefined;
  readonly provideClusterInfo: boolean;
  readonly interactiveMode: 'Never' | 'IfAvailable' | 'Always';
}

export interface ExecPluginOptions {
  readonly userName: string;
  /** Of the kubeconfig. A command with a slash that is not absolute starts there. */
  readonly folder: string;
  /** Goes to the plugin when it asks (provideClusterInfo). */
  readonly cluster: Readonly<Record<string, unknown>>;
  /** What the kubeconfig gives beside the plugin. */
  readonly base: Credentials;
  /** Whether a person can answer the plugin's questions; by default whether stdin is a terminal. */
  readonly interactive?: boolean;
}

interface Run {
  readonly result: Promise<Credentials>;
  readonly abort: AbortController;
  waiting: number;
}

/** Runs an exec credential plugin: one run at a time, its answer kept until it expires or the server refuses it. */
export class ExecPlugin {
  readonly kind: string;
  readonly #config: ExecConfig;
  readonly #options: ExecPluginOptions;
  #cached: { readonly credentials: Credentials; readonly untilMs: number } | undefined;
  #run: Run | undefined;

  constructor(config: ExecConfig, options: ExecPluginOptions) {
    this.#config = config;
    this.#options = options;
    this.kind = `exec plugin ${path.basename(config.command)}`;
  }

  /**
   * Credentials valid now. Callers that come during a run share it; it is ended when all of them have gone.
   * @throws InterceptorError CLUSTER_UNAUTHORIZED: the plugin failed; KUBECONFIG_INVALID: it cannot be run
   */
  async credentials(signal?: AbortSignal): Promise<Credentials> {
    signal?.throwIfAborted();
    if (this.#cached !== undefined && Date.now() < this.#cached.untilMs) return this.#cached.credentials;
    const run = this.#run ?? this.#start();
    run.waiting += 1;
    try {
      return await orAbort(run.result, signal);
    } finally {
      run.waiting -= 1;
      if (run.waiting === 0) {
        run.abort.abort(); // ends a run nobody waits for any more; the next caller starts its own
        if (this.#run === run) this.#run = undefined;
      }
    }
  }

  /** After a 401. @returns true: the plugin is run again (or has been since) */
  forget(refused: Credentials): boolean {
    if (this.#cached?.credentials === refused) this.#cached = undefined;
    return true;
  }

  #start(): Run {
    const abort = new AbortController();
    const run: Run = { result: this.#fetch(abort.signal), abort, waiting: 0 };
    run.result.catch(() => {}); // every waiting caller may have gone; those that wait get the rejection
    this.#run = run;
    return run;
  }

  async #fetch(signal: AbortSignal): Promise<Credentials> {
    const config = this.#config;
    const command =
      /[\\/]/.test(config.command) && !path.isAbsolute(config.command)
        ? path.join(this.#options.folder, config.command)
        : config.command;
    const interactive =
      config.interactiveMode !== 'Never' && (this.#options.interactive ?? process.stdin.isTTY === true);
    if (config.interactiveMode === 'Always' && !interactive) {
      throw this.#failed('asks questions, and stdin is not a terminal', 'run it once in a terminal to log in');
    }
    const info = {
      kind: 'ExecCredential',
      apiVersion: config.apiVersion,
      spec: { interactive, ...(config.provideClusterInfo ? { cluster: this.#options.cluster } : {}) },
    };
    const outcome = await runPlugin({
      command,
      args: config.args,
      env: { ...process.env, ...Object.fromEntries(config.env), KUBERNETES_EXEC_INFO: JSON.stringify(info) },
      interactive,
      signal,
    });
    if (outcome.state === 'failed') throw this.#failed(outcome.reason, config.installHint ?? outcome.hint);
    return this.#accept(outcome.stdout);
  }

  #accept(stdout: string): Credentials {
    let answer: unknown;
    try {
      answer = JSON.parse(stdout);
    } catch {
      throw this.#failed('printed something that is not JSON', 'run it in a terminal to see what'); // it may be a token
    }
    const { status, apiVersion } = (answer ?? {}) as { status?: Record<string, unknown>; apiVersion?: unknown };
    if (apiVersion !== this.#config.apiVersion) {
      throw this.#failed(
        `answered in ${String(apiVersion)}, the kubeconfig wants ${this.#config.apiVersion}`,
        'update the plugin or the kubeconfig',
      );
    }
    const text = (name: string): string | undefined => {
      const value = status?.[name];
      return typeof value === 'string' && value !== '' ? value : undefined;
    };
    const [token, cert, key] = [text('token'), text('clientCertificateData'), text('clientKeyData')];
    if (token === undefined && (cert === undefined || key === undefined)) {
      throw this.#failed(
        'gave neither a token nor a client certificate with its key',
        'log in again with its own command',
      );
    }
    const { base } = this.#options;
    const credentials: Credentials = {
      authorization: token === undefined ? base.authorization : `Bearer ${token}`,
      cert: cert ?? base.cert,
      key: key ?? base.key,
    };
    const expires = Date.parse(text('expirationTimestamp') ?? '');
    this.#cached = {
      credentials,
      untilMs: Number.isNaN(expires) ? Number.POSITIVE_INFINITY : expires - EXPIRY_MARGIN_MS,
    };
    return credentials;
  }

  #failed(what: string, hint: string): InterceptorError {
    return new InterceptorError(
      'CLUSTER_UNAUTHORIZED',
      `credential plugin ${this.#config.command} of user "${this.#options.userName}" ${what}`,
      { hint },
    );
  }
}

/** Reads `users[].user.exec`. @throws InterceptorError KUBECONFIG_INVALID */
export function parseExecConfig(exec: unknown, userName: string): ExecConfig {
  const fields = (typeof exec === 'object' && exec !== null ? exec : {}) as Readonly<Record<string, unknown>>;
  const { command, apiVersion, args, env, installHint, provideClusterInfo, interactiveMode } = fields;
  if (typeof command !== 'string' || command === '') throw invalidExec(userName, 'has no command');
  if (typeof apiVersion !== 'string' || !apiVersion.startsWith('client.authentication.k8s.io/')) {
    throw invalidExec(userName, 'has no apiVersion client.authentication.k8s.io/…');
  }
  const pairs = (Array.isArray(env) ? (env as unknown[]) : []).map((entry) => {
    const { name, value } = (entry ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof name !== 'string') throw invalidExec(userName, 'has an env entry without a name');
    return [name, value === undefined || value === null ? '' : String(value)] as const;
  });
  return {
    command,
    apiVersion,
    args: (Array.isArray(args) ? (args as unknown[]) : []).map(String),
    env: new Map(pairs),
    installHint: typeof installHint === 'string' && installHint !== '' ? installHint.trim() : undefined,
    provideClusterInfo: provideClusterInfo === true,
    interactiveMode: interactiveMode === 'Never' || interactiveMode === 'Always' ? interactiveMode : 'IfAvailable',
  };
}

function invalidExec(userName: string, what: string): InterceptorError {
  return new InterceptorError('KUBECONFIG_INVALID', `exec of user "${userName}" ${what}`, {
    hint: 'fetch the kubeconfig again',
  });
}

/** The promise's outcome, or the signal's reason when it aborts first. */
function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
