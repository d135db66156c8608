import { resolve } from 'node:path';
import { InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import { MAX_RESUME_MS, RESUME_FOR_MS } from '../../src/protocol/limits.ts';
import { type ClusterOptions, DEFAULT_AGENT_IMAGE } from '../common-options.ts';
import type { AgentOptions } from '../kube/plan.ts';
import { requireFreeToPod } from '../network/egress/to-pod.ts';
import { readAgentCode } from '../session/agent-code.ts';
import type { TunnelOption } from '../session/carriers.ts';
import { requireCommand } from '../session/command.ts';
import { sessionReporter } from '../session/detach.ts';
import { requireEnvFile } from '../session/env-file.ts';
import { parseEnvOption } from '../session/environment.ts';
import { newIdentity } from '../session/identity.ts';
import { endLeftCommands } from '../session/left-commands.ts';
import type { ProcessSideOptions } from '../session/process-side.ts';
import type { Report } from '../ui/events.ts';
import { laptopLog } from '../ui/laptop-log.ts';
import { type InsideOptions, parseInside } from './inside-options.ts';
import { parseSeconds } from './seconds.ts';

const RESUME_LIMITS = { least: 0, most: MAX_RESUME_MS / 1000 };

/** Options of every command that runs a session. */
export interface SessionCommandOptions extends ClusterOptions, InsideOptions {
  readonly env?: readonly string[];
  readonly envFile?: string;
  readonly dryRun?: boolean;
  readonly agentImage?: string;
  readonly tunnel: TunnelOption;
  readonly resume?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
  readonly command?: readonly string[];
}

/** What was typed, checked before anything is asked of the cluster. */
export interface CheckedSession {
  readonly process: Omit<ProcessSideOptions, 'report' | 'log' | 'identity'>;
  readonly tunnel: TunnelOption;
  readonly resumeMs: number;
  /** Absolute path. */
  readonly kubeconfig: string | undefined;
}

/**
 * Before it looks for ports that are to be free it ends what earlier sessions left running on them.
 * @throws InterceptorError USAGE_*, COMMAND_NOT_FOUND
 */
export async function checkSession(options: SessionCommandOptions, report: Report): Promise<CheckedSession> {
  const { command } = options;
  if (command?.length === 0)
    throw new InterceptorError('USAGE_BAD_OPTION', 'no command after --', {
      hint: 'for example: intercept web -- npm run dev',
    });
  const { resume } = options;
  const resumeMs = resume === undefined ? RESUME_FOR_MS : parseSeconds('--resume', resume, RESUME_LIMITS) * 1000;
  const env = Object.fromEntries((options.env ?? []).map(parseEnvOption));
  const inside = parseInside(options, command !== undefined);
  if (options.dryRun !== true) await endLeftCommands(report);
  await requireFreeToPod(inside.network?.toPod ?? []);
  const envFile = options.envFile === undefined ? undefined : resolve(options.envFile);
  if (envFile !== undefined) await requireEnvFile(envFile);
  const [file] = command ?? [];
  if (file !== undefined) await requireCommand(file, env.PATH ?? process.env.PATH);
  return {
    process: { command, env, envFile, ...inside },
    tunnel: options.tunnel,
    resumeMs,
    kubeconfig: options.kubeconfig === undefined ? undefined : resolve(options.kubeconfig),
  };
}

/** What a session says who it is with, and to whom it speaks. */
export interface SessionVoice {
  readonly identity: SessionIdentity;
  readonly report: Report;
  readonly log: Log;
}

export function sessionVoice(options: SessionCommandOptions): SessionVoice {
  return {
    identity: newIdentity(),
    report: sessionReporter({ json: options.json === true, command: options.command !== undefined }),
    log: laptopLog(options.debug === true),
  };
}

/** The agent that a session brings in. @throws InterceptorError INTERNAL when the package is broken */
export async function agentOptions(options: SessionCommandOptions): Promise<AgentOptions> {
  return {
    image: options.agentImage ?? DEFAULT_AGENT_IMAGE,
    code: await readAgentCode(),
    logLevel: options.debug === true ? 'debug' : undefined,
  };
}

/** performance.now() when the program was started. */
export function programStart(): number {
  return performance.now() - process.uptime() * 1000;
}
