import { type SpawnOptions, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from './progress.ts';

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
  /** Everything the command prints is added to this file. */
  readonly logFile?: string;
}

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and returns what it printed, whatever its exit code. */
export async function tryRun(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = command;
  if (file === undefined) throw new Error('empty command');
  const spawnOptions: SpawnOptions = { stdio: ['pipe', 'pipe', 'pipe'] };
  if (options.cwd !== undefined) spawnOptions.cwd = options.cwd;
  if (options.env !== undefined) spawnOptions.env = options.env;
  if (options.timeoutMs !== undefined)
    Object.assign(spawnOptions, { timeout: options.timeoutMs, killSignal: 'SIGKILL' });
  const child = spawn(file, args, spawnOptions);
  const log = options.logFile === undefined ? undefined : createWriteStream(options.logFile, { flags: 'a' });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk) && log?.write(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk) && log?.write(chunk));
  child.stdin?.on('error', () => {}); // EPIPE: the command did not want all of its input
  child.stdin?.end(options.input ?? '');
  try {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (...ended) => resolve(ended));
    });
    return { code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
  } finally {
    log?.end();
  }
}

/** Runs a command and returns its stdout; anything but exit code 0 is an error that shows the end of what it printed. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await tryRun(command, options);
  if (result.code === 0) return result.stdout;
  const printed = lastLines(`${result.stdout}\n${result.stderr}`, 20);
  const ended = result.signal === null ? `exit code ${result.code}` : `signal ${result.signal}`;
  const where = options.logFile === undefined ? '' : `the whole output is in ${options.logFile}`;
  throw new ClusterError(`${command.slice(0, 6).join(' ')}: ${ended}\n${printed}`, where);
}

/** Polls until `condition` returns something other than undefined; after the deadline throws what `onTimeout` returns. */
export async function waitFor<T>(
  condition: () => Promise<T | undefined>,
  options: { readonly timeoutMs: number; readonly intervalMs?: number; readonly onTimeout: () => Error },
): Promise<T> {
  const deadline = Date.now() + options.timeoutMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw options.onTimeout();
    await sleep(options.intervalMs ?? 100);
  }
}

export function lastLines(text: string, count: number): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
