import type { ChildProcess } from 'node:child_process';
import { chmod, cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SessionEvent } from '../../cli/ui/events.ts';
import type { TestNamespace } from './cluster.ts';
import type { Laptop, LaptopResult, LaptopSpawnOptions } from './laptop.ts';

type EventName = SessionEvent['event'];
type EventOf<Name extends EventName> = Extract<SessionEvent, { event: Name }>;

let installed: Promise<string> | undefined;

/** The built CLI where an ordinary user can read it, as `npm install -g` would put it. @returns path of intercept.mjs */
export function installedCli(): Promise<string> {
  installed ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kube-intercept-cli-'));
    await cp(new URL('../../dist', import.meta.url).pathname, folder, { recursive: true });
    await chmod(folder, 0o755);
    return join(folder, 'intercept.mjs');
  })();
  return installed;
}

export interface InterceptOptions extends LaptopSpawnOptions {
  readonly namespace: TestNamespace;
}

/** The command line of `intercept` on a laptop, with the developer's kubeconfig of that namespace in the environment. */
async function commandLine(
  laptop: Laptop,
  args: readonly string[],
  options: InterceptOptions,
): Promise<{ command: string[]; spawn: LaptopSpawnOptions }> {
  const { namespace, ...rest } = options;
  const command = [process.execPath, '--', await installedCli(), ...args]; // as its first line has it
  return { command, spawn: { ...rest, env: { KUBECONFIG: await laptop.kubeconfig(namespace), ...options.env } } };
}

/** Runs `intercept …` to its end. */
export async function runIntercept(
  laptop: Laptop,
  args: readonly string[],
  options: InterceptOptions & { timeoutMs?: number; input?: string },
): Promise<LaptopResult> {
  const { timeoutMs, input, ...rest } = options;
  const { command, spawn } = await commandLine(laptop, args, rest);
  return await laptop.run(command, {
    ...spawn,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(input === undefined ? {} : { input }),
  });
}

/** Starts `intercept … --json`; the caller ends it, in any way. */
export async function startIntercept(
  laptop: Laptop,
  args: readonly string[],
  options: InterceptOptions,
): Promise<InterceptRun> {
  const dashes = args.indexOf('--');
  const withJson = dashes < 0 ? [...args, '--json'] : [...args.slice(0, dashes), '--json', ...args.slice(dashes)];
  const { command, spawn } = await commandLine(laptop, withJson, options);
  return new InterceptRun(laptop.spawn(command, spawn), dashes < 0 ? 'stdout' : 'stderr');
}

/** Ends those that still run by Ctrl-C, one after the other. */
export async function endRuns(runs: Iterable<InterceptRun>): Promise<void> {
  for (const { child, exited } of runs) {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
    await exited;
  }
}

/** A running `intercept --json`: its events so far, and waits for those to come. */
export class InterceptRun {
  readonly child: ChildProcess;
  readonly events: SessionEvent[] = [];
  /** When each of them came, as Date.now(). */
  readonly receivedAtMs: number[] = [];
  /** Lines that are no events: what the command printed there, or Node. */
  readonly otherLines: string[] = [];
  /** The command's standard output (its standard error is shared with the events). */
  stdout = '';
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #startedAtMs = Date.now();
  readonly #waiters = new Set<() => void>();
  #hasExited = false;

  constructor(child: ChildProcess, eventsOn: 'stdout' | 'stderr') {
    this.child = child;
    let rest = '';
    child[eventsOn]?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#take(line);
    });
    const other = eventsOn === 'stdout' ? child.stderr : child.stdout;
    other?.setEncoding('utf8').on('data', (text: string) => {
      if (eventsOn === 'stderr') this.stdout += text;
      else this.otherLines.push(text);
      this.#wake();
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#hasExited = true;
        this.#wake();
        resolve({ code, signal });
      });
    });
  }

  /** The first event of that name, past or to come. @throws when it has not come in time, or the session ended without it */
  async until<Name extends EventName>(name: Name, timeoutMs = 60_000): Promise<EventOf<Name>> {
    const found = await this.untilMatch((event) => event.event === name, `event ${name}`, timeoutMs);
    return found as EventOf<Name>;
  }

  /** The first event that matches, past or to come. */
  async untilMatch(matches: (event: SessionEvent) => boolean, what: string, timeoutMs = 60_000): Promise<SessionEvent> {
    return await this.#until(() => this.events.find(matches), what, timeoutMs);
  }

  /** Waits until the command's standard output holds `text`. */
  async untilOutput(text: string, timeoutMs = 60_000): Promise<void> {
    await this.#until(() => this.stdout.includes(text) || undefined, `"${text}" from the command`, timeoutMs);
  }

  /** The first text of the command's standard output that matches, past or to come. */
  async untilOutputMatch(pattern: RegExp, what: string, timeoutMs = 60_000): Promise<string> {
    return await this.#until(() => pattern.exec(this.stdout)?.[0], `answer to ${what}`, timeoutMs);
  }

  async #until<T>(find: () => T | undefined, what: string, timeoutMs: number): Promise<T> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (this.#hasExited || left <= 0)
        throw new Error(
          `no ${what}${this.#hasExited ? ' before the session ended' : ` in ${timeoutMs} ms`}; got:\n${this.transcript}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const waiters = this.#waiters;
        function done(): void {
          clearTimeout(timer);
          waiters.delete(done);
          resolve();
        }
        waiters.add(done);
      });
    }
  }

  /** Sends SIGINT, as Ctrl-C does, and waits for the end. @returns the exit code */
  async interrupt(): Promise<number | null> {
    this.child.kill('SIGINT');
    return (await this.exited).code;
  }

  /** Everything it said, for a failed assertion. */
  get transcript(): string {
    const events = this.events.map(
      (event, index) => `+${(this.receivedAtMs[index] ?? 0) - this.#startedAtMs} ms ${JSON.stringify(event)}`,
    );
    return [...events, ...this.otherLines].join('\n');
  }

  #take(line: string): void {
    if (line.startsWith('{"event":')) {
      this.events.push(JSON.parse(line));
      this.receivedAtMs.push(Date.now());
    } else if (line !== '') this.otherLines.push(line);
    this.#wake();
  }

  #wake(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}
