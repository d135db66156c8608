import { errorText } from '../src/errors.ts';
import { createLog, jsonLines, type Log } from '../src/log.ts';
import { type Agent, startAgent } from './agent.ts';
import { type AgentSettings, readSettings, SettingsError } from './config.ts';
import { whenIdle } from './idle-exit.ts';

/** A process that meets this many errors of its own in a minute starts anew rather than go on. */
const MAX_FAILURES_PER_MINUTE = 10;

/** The sidecar's entry: reads its settings, serves until SIGTERM, drains. Log lines are JSON on stdout. */
async function main(): Promise<void> {
  process.stdout.on('error', () => {}); // EPIPE: a container runtime that no longer reads must not end the service
  let settings: AgentSettings;
  try {
    settings = readSettings(process.env);
  } catch (failure) {
    const setting = failure instanceof SettingsError ? failure.setting : undefined;
    fatal(createLog('info', jsonLines(process.stdout)), 'agent cannot start', { setting, reason: errorText(failure) });
    return;
  }
  const log = createLog(settings.logLevel, jsonLines(process.stdout));
  surviveFailures(log);
  let agent: Agent;
  try {
    agent = await startAgent({ settings, log, env: process.env });
  } catch (failure) {
    fatal(log, 'agent cannot listen', { reason: errorText(failure) });
    return;
  }
  const { exitIdleMs } = settings.config;
  if (exitIdleMs !== undefined)
    whenIdle(
      () => agent.idleMs,
      exitIdleMs,
      () => {
        log.info('agent ends: nobody uses it', { idleMs: agent.idleMs });
        void agent.close().finally(() => exitFlushed(0));
      },
    );
  process.once('SIGINT', () => void agent.close().finally(() => process.exit(130)));
  process.once('SIGTERM', () => {
    void agent
      .drain()
      .then(() => agent.close())
      .then(
        () => log.info('agent ends'),
        (failure: unknown) => log.error('agent did not close well', { reason: errorText(failure) }),
      )
      .finally(() => exitFlushed(0));
  });
}

/**
 * An error that nobody caught belongs to one connection at most; the others, and all that the app answers, must go on.
 * When errors come in a row the state is beyond trust, and a restart by Kubernetes is the better service.
 */
function surviveFailures(log: Log): void {
  let recent: number[] = [];
  const survive = (kind: string) => (failure: unknown) => {
    const now = Date.now();
    recent = [...recent.filter((atMs) => atMs > now - 60_000), now];
    const stack = failure instanceof Error ? failure.stack : undefined;
    log.error(kind, { reason: errorText(failure), stack });
    if (recent.length > MAX_FAILURES_PER_MINUTE) fatal(log, 'too many errors, the agent starts anew', {});
  };
  process.on('uncaughtException', survive('uncaught exception'));
  process.on('unhandledRejection', survive('unhandled rejection'));
}

function fatal(log: Log, message: string, fields: Parameters<Log['error']>[1]): void {
  log.error(message, fields);
  exitFlushed(1);
}

/** Exits once what was logged is written. */
function exitFlushed(exitCode: number): void {
  process.stdout.write('', () => process.exit(exitCode));
}

await main();
