import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { InterceptorError } from '../../src/errors.ts';
import { isRecord } from '../../src/is-record.ts';
import type { Background } from '../ui/event-lines.ts';
import type { Report, SessionEvent } from '../ui/events.ts';
import { createReporter, reporterForm } from '../ui/reporter.ts';
import { privateFolder, stateFolder } from './state-files.ts';

/** Set in the environment of the session that `--detach` puts into the background. */
const DETACHED_ENV = 'KUBE_INTERCEPT_DETACHED';

export function isDetachedChild(): boolean {
  return process.env[DETACHED_ENV] === '1' && process.connected === true;
}

/**
 * How a session reports: to the terminal, as JSON lines, or, in the background, to the command that started it and to
 * its log file.
 * @param options.command the developer's command owns stdout, so events go to stderr
 * @param options.background the session whose events are reported, where it is another process
 */
export function sessionReporter(options: { json: boolean; command: boolean; background?: Background }): Report {
  if (isDetachedChild()) {
    const toFile = createReporter({ form: 'json', out: process.stdout, colour: false });
    return (event) => {
      // With a callback: the starter may be gone, of which we have not heard, and an EPIPE that nobody takes ends the session.
      if (process.connected) process.send?.(event, () => {});
      // The file is a log: the proxy's password is not for it.
      toFile(event.event === 'network' ? { ...event, variables: {} } : event);
    };
  }
  const out = options.json && !options.command ? process.stdout : process.stderr;
  const form = reporterForm(options.json, out);
  out.on('error', () => {}); // a closed terminal or pipe must not end the session before it has restored
  const colour = process.env.NO_COLOR === undefined && process.env.TERM !== 'dumb';
  const background = options.background === undefined ? {} : { background: options.background };
  return createReporter({ form, out, colour, ...background });
}

/**
 * Starts the same command line in the background and returns when it is ready, or when it only waits for the process.
 * @param options.target as the user named it
 * @returns the exit code
 * @throws InterceptorError what the background session failed with
 */
export async function runDetached(options: { json: boolean; target: string }): Promise<number> {
  const folder = stateFolder();
  await privateFolder(folder);
  const logFile = join(folder, 'detached.log');
  const log = openSync(logFile, 'a', 0o600);
  // "--" as in main.ts: what follows is not for Node.
  const nodeOptions = process.execArgv.filter((option) => option !== '--');
  const child = spawn(process.execPath, [...nodeOptions, '--', ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, [DETACHED_ENV]: '1' },
  });
  // Without a pid it has not started: 'error' follows, and there is nothing to report.
  const background = { pid: child.pid ?? 0, target: options.target };
  const report = sessionReporter({ json: options.json, command: false, background });
  return await new Promise<number>((resolve, reject) => {
    child.on('message', (message: unknown) => {
      if (!isRecord(message) || typeof message.event !== 'string') return;
      const event = message as unknown as SessionEvent; // our own child's
      if (event.event === 'error') {
        const hint = event.hint === undefined ? {} : { hint: event.hint };
        reject(new InterceptorError(event.code, event.message, hint));
        return;
      }
      report(event);
      if (event.event === 'ready' || event.event === 'not-listening') {
        child.disconnect();
        child.unref();
        resolve(0);
      }
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      const failure = new InterceptorError('INTERNAL', `the background session ended with code ${String(code)}`, {
        hint: `see ${logFile}`,
      });
      reject(failure);
    });
  });
}

/** Tells the command that started this background session why it failed. */
export function reportToStarter(error: InterceptorError): void {
  if (!isDetachedChild()) return;
  const { code, message, hint, exitCode } = error;
  process.send?.({ event: 'error', code, message, ...(hint === undefined ? {} : { hint }), exitCode }, () => {});
}
