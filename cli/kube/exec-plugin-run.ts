import { spawn } from 'node:child_process';
import { errorText, systemErrorCode } from '../../src/errors.ts';
import { redact } from '../../src/redact.ts';

/** Long enough for a login in a browser when a person is there. */
const INTERACTIVE_TIMEOUT_MS = 300_000;
const TIMEOUT_MS = 60_000;
const MAX_STDOUT_BYTES = 1024 * 1024;
const MAX_STDERR_BYTES = 4_096;
const MAX_STDERR_SHOWN = 500;
const KILL_AFTER_MS = 2_000;

export interface PluginRun {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** stdin is the person's terminal. */
  readonly interactive: boolean;
  readonly signal: AbortSignal;
}

export type PluginOutcome =
  | { readonly state: 'done'; readonly stdout: string }
  | { readonly state: 'failed'; readonly reason: string; readonly hint: string };

/** Runs a credential plugin to its end. stderr goes to the terminal, or into the reason when there is none. Never rejects. */
export function runPlugin(run: PluginRun): Promise<PluginOutcome> {
  const timeoutMs = run.interactive ? INTERACTIVE_TIMEOUT_MS : TIMEOUT_MS;
  const toTerminal = process.stderr.isTTY === true;
  return new Promise((resolve) => {
    const child = spawn(run.command, run.args, {
      env: run.env,
      stdio: [run.interactive ? 'inherit' : 'ignore', 'pipe', toTerminal ? 'inherit' : 'pipe'],
      windowsHide: true,
    });
    let reason: string | undefined;
    let stdout: Buffer[] = [];
    let stdoutBytes = 0;
    let stderr = '';
    let isStderrCut = false;
    let killer: NodeJS.Timeout | undefined;
    const end = (why: string): void => {
      if (reason !== undefined) return;
      reason = why;
      child.kill('SIGTERM');
      killer = setTimeout(() => {
        child.kill('SIGKILL');
        child.stdout?.destroy(); // a grandchild may hold the pipe open and so hold 'close' back
        child.stderr?.destroy();
      }, KILL_AFTER_MS);
    };
    const timer = setTimeout(() => end(`did not finish within ${timeoutMs / 1000} s`), timeoutMs);
    const onAbort = (): void => end('was interrupted');
    run.signal.addEventListener('abort', onAbort, { once: true });
    if (run.signal.aborted) onAbort();
    const settle = (outcome: PluginOutcome): void => {
      clearTimeout(timer);
      clearTimeout(killer);
      run.signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    child.stdout?.on('data', (chunk: Buffer) => {
      stdoutBytes += chunk.byteLength;
      if (stdoutBytes <= MAX_STDOUT_BYTES) stdout.push(chunk);
      else {
        stdout = [];
        end('printed more than 1 MiB');
      }
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8');
      isStderrCut ||= stderr.length > MAX_STDERR_BYTES;
      stderr = stderr.slice(-MAX_STDERR_BYTES);
    });
    child.once('error', (error) => settle(notRun(error, run.command)));
    child.once('close', (code, signal) => {
      if (reason === undefined && code === 0) settle({ state: 'done', stdout: Buffer.concat(stdout).toString('utf8') });
      else
        settle({
          state: 'failed',
          reason: reason ?? ended(code, signal, isStderrCut ? stderr.replace(/^\S+/, '') : stderr),
          hint: 'log in again with the plugin’s own command',
        });
    });
  });
}

function notRun(error: unknown, command: string): PluginOutcome {
  const code = systemErrorCode(error);
  // execvp(3) says EACCES of a bare name, too, when it may not search a folder of PATH and finds the name in no other.
  if (code === 'ENOENT' || (code === 'EACCES' && !/[\\/]/.test(command)))
    return { state: 'failed', reason: 'was not found', hint: 'install it, or put its folder into PATH' };
  if (code === 'EACCES') return { state: 'failed', reason: 'may not be executed', hint: 'check the mode of the file' };
  return { state: 'failed', reason: `could not be started: ${errorText(error)}`, hint: 'check exec in the kubeconfig' };
}

function ended(code: number | null, signal: NodeJS.Signals | null, stderr: string): string {
  const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was ended by ${signal}`;
  // hidden before it is cut: the end of a token does not look like one (nor does that of the first word, left out above)
  const said = redact(stderr).trim().slice(-MAX_STDERR_SHOWN);
  return said === '' ? how : `${how}: ${said}`;
}
