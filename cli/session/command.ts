import { type ChildProcess, spawn } from 'node:child_process';
import { access, constants as files, readdir, readFile, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { InterceptorError, systemErrorCode } from '../../src/errors.ts';

/** How the command ended, as a shell would say it: its exit code, or 128 + the signal's number. */
export interface CommandEnd {
  readonly exitCode: number;
  readonly text: string;
}

/** The developer's process: its stdin, output and terminal are the session's own. */
export class Command {
  readonly pid: number;
  readonly ended: Promise<CommandEnd>;
  readonly #child: ChildProcess;
  #running = true;

  private constructor(child: ChildProcess, pid: number) {
    this.#child = child;
    this.pid = pid;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#running = false;
        resolve(commandEnd(code, signal));
      });
    });
  }

  /**
   * Starts the command.
   * @throws InterceptorError COMMAND_NOT_FOUND when it cannot be executed
   */
  static async start(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<Command> {
    const [file, ...args] = argv;
    if (file === undefined) throw new InterceptorError('USAGE_BAD_OPTION', 'no command after --');
    // Same process group: the terminal's Ctrl-C reaches it directly, and job control works as without us.
    const child = spawn(file, args, { stdio: 'inherit', env: { ...env } });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        const why = systemErrorCode(cause) === 'ENOENT' ? 'not found' : cause.message;
        reject(new InterceptorError('COMMAND_NOT_FOUND', `cannot start "${file}": ${why}`, { cause }));
      });
    });
    child.on('error', () => {}); // a failed kill(): the process is gone, 'exit' tells
    if (child.pid === undefined) throw new InterceptorError('COMMAND_NOT_FOUND', `cannot start "${file}"`);
    return new Command(child, child.pid);
  }

  get running(): boolean {
    return this.#running;
  }

  /** Passes a signal on; nothing when the command has ended. */
  signal(name: NodeJS.Signals): void {
    if (this.#running) this.#child.kill(name);
  }

  /** Ends the command and everything it started, at once. */
  async killTree(): Promise<void> {
    if (this.#running) await killTree(this.pid);
  }
}

/**
 * Looks for the command as the system will, so that a typing error is told before anything is changed in the cluster.
 * @param path the PATH that the command gets; empty parts of it are the working directory
 * @throws InterceptorError COMMAND_NOT_FOUND
 */
export async function requireCommand(file: string, path: string | undefined): Promise<void> {
  if (process.platform === 'win32') return; // PATHEXT and App Paths: Command.start() tells
  const candidates = file.includes('/') ? [file] : (path ?? '').split(delimiter).map((folder) => join(folder, file));
  let found: string | undefined;
  for (const candidate of candidates) {
    if (!(await isFile(candidate))) continue;
    if (await isExecutable(candidate)) return;
    found ??= candidate;
  }
  if (found === undefined)
    throw new InterceptorError('COMMAND_NOT_FOUND', `cannot start "${file}": not found`, {
      hint: file.includes('/')
        ? 'check the path after --'
        : 'check the command after --: it is looked for in PATH, without a shell (for one: sh -c "…")',
    });
  throw new InterceptorError('COMMAND_NOT_FOUND', `cannot start "${file}": not executable`, {
    hint: `chmod +x ${found}, or name its interpreter after --`,
  });
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false, // ENOENT, ENOTDIR, EACCES: the system finds none there either
  );
}

async function isExecutable(path: string): Promise<boolean> {
  return await access(path, files.X_OK).then(
    () => true,
    () => false, // EACCES
  );
}

export function commandEnd(code: number | null, signal: NodeJS.Signals | null): CommandEnd {
  if (signal !== null) return { exitCode: 128 + constants.signals[signal], text: `ended by ${signal}` };
  return { exitCode: code ?? 1, text: `exited with code ${code ?? 1}` };
}

/** Sends a signal; a process that is gone is no error. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH' && systemErrorCode(error) !== 'EPERM') throw error;
  }
}

/** Ends a process and everything it started, at once. */
export async function killTree(pid: number): Promise<void> {
  const victims = [...(await descendants(pid)), pid];
  for (const victim of victims.reverse()) kill(victim, 'SIGKILL');
}

/** All processes below `pid`, parents first (Linux; elsewhere none are found and only `pid` itself is signalled). */
async function descendants(pid: number): Promise<number[]> {
  const entries = await readdir('/proc').catch(() => []); // no /proc on this system
  const children = new Map<number, number[]>();
  await Promise.all(
    entries
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => {
        const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => ''); // it may end meanwhile
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        if (Number.isInteger(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
      }),
  );
  const found: number[] = [];
  for (let queue = [pid]; queue.length > 0; ) {
    queue = queue.flatMap((parent) => children.get(parent) ?? []);
    found.push(...queue);
  }
  return found;
}
