import { resolve } from 'node:path';
import { InterceptorError } from '../../src/errors.ts';
import { prepareInstall } from '../kube/apply.ts';
import { KubeClient } from '../kube/client.ts';
import { planDiff } from '../kube/diff.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { type WorkloadRef, workloadText } from '../kube/objects.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { choosePorts, parsePortOption } from '../kube/ports.ts';
import { parseTarget, requireInterceptable, resolveTarget } from '../kube/target.ts';
import { type ClusterOptions, DEFAULT_AGENT_IMAGE } from '../program.ts';
import { readAgentCode } from '../session/agent-code.ts';
import type { TunnelOption } from '../session/carriers.ts';
import { requireCommand } from '../session/command.ts';
import { isDetachedChild, runDetached, sessionReporter } from '../session/detach.ts';
import { requireEnvFile } from '../session/env-file.ts';
import { parseEnvOption } from '../session/environment.ts';
import { newIdentity } from '../session/identity.ts';
import { parseToOption } from '../session/listening.ts';
import { ProcessPort } from '../session/process-port.ts';
import { runSession } from '../session/run-session.ts';
import { laptopLog } from '../ui/laptop-log.ts';

export interface InterceptOptions extends ClusterOptions {
  readonly port?: readonly string[];
  readonly service?: string;
  readonly to?: string;
  readonly http?: boolean;
  readonly env?: readonly string[];
  readonly envFile?: string;
  readonly detach?: boolean;
  readonly dryRun?: boolean;
  readonly keepAgent?: boolean;
  readonly agentImage?: string;
  readonly tunnel: TunnelOption;
  readonly listenTimeout: string;
  readonly json?: boolean;
  readonly debug?: boolean;
  readonly command?: readonly string[];
}

/** `intercept <target>`. @returns the exit code */
export async function intercept(targetText: string, options: InterceptOptions): Promise<number> {
  // Everything the user typed is checked before anything is asked of the cluster.
  const target = parseTarget(targetText);
  const portOptions = (options.port ?? []).map(parsePortOption);
  const to = options.to === undefined ? undefined : parseToOption(options.to);
  const env = Object.fromEntries((options.env ?? []).map(parseEnvOption));
  const listenTimeoutMs = parseSeconds('--listen-timeout', options.listenTimeout) * 1000;
  checkTogether(options);
  const envFile = options.envFile === undefined ? undefined : resolve(options.envFile);
  if (envFile !== undefined) await requireEnvFile(envFile);
  const [file] = options.command ?? [];
  if (file !== undefined) await requireCommand(file, env.PATH ?? process.env.PATH);
  if (options.detach === true && !isDetachedChild())
    return await runDetached({ json: options.json === true, target: targetText });

  const log = laptopLog(options.debug === true);
  const report = sessionReporter({ json: options.json === true, command: options.command !== undefined });
  const identity = newIdentity();
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const [resolved, code] = await Promise.all([
    resolveTarget(client, { target, namespace, service: options.service }),
    readAgentCode(),
  ]);
  const found = requireInterceptable(resolved);
  const choices = choosePorts(found.service, found.workload, portOptions);
  const ref: WorkloadRef = { kind: found.kind, namespace, name: found.workload.metadata.name };
  const request: InstallRequest = {
    namespace,
    kind: found.kind,
    name: ref.name,
    service: found.service,
    ports: choices,
    agent: {
      image: options.agentImage ?? DEFAULT_AGENT_IMAGE,
      code,
      logLevel: options.debug === true ? 'debug' : undefined,
    },
    createdBy: { user: identity.user, host: identity.host },
    keepAgent: options.keepAgent === true,
  };
  const makePorts = (setRoute: (appPort: number, to: 'laptop' | 'app') => Promise<void>): ProcessPort[] =>
    choices.map((choice) => new ProcessPort({ choice, to, http: options.http === true, report, log, setRoute }));
  const processPorts = makePorts(async () => {});
  if (options.command !== undefined) for (const port of processPorts) await port.requireFree();
  const ports = processPorts.map((port) => port.describe);
  const service = found.service.metadata.name;
  report({ event: 'found', namespace, workload: workloadText(ref), service, ports, pods: found.pods.length });
  if (options.dryRun === true) {
    const diff = planDiff(await prepareInstall(client, request));
    if (options.json === true) report({ event: 'plan', diff });
    else process.stdout.write(diff);
    return 0;
  }

  return await runSession(
    {
      client,
      identity,
      ref,
      service: found.service,
      request,
      ports: makePorts,
      tunnel: options.tunnel,
      command: options.command,
      env,
      envFile,
      keepAgent: options.keepAgent === true,
      listenTimeoutMs,
      startedAt: performance.now() - process.uptime() * 1000,
      report,
      log,
    },
    {
      target: targetText,
      kubeconfig: options.kubeconfig === undefined ? undefined : resolve(options.kubeconfig),
      workloadUid: found.workload.metadata.uid ?? '',
    },
  );
}

function checkTogether(options: InterceptOptions): void {
  const clash = (text: string, hint: string): InterceptorError =>
    new InterceptorError('USAGE_BAD_OPTION', text, { hint });
  if (options.command?.length === 0) throw clash('no command after --', 'for example: intercept web -- npm run dev');
  if (options.detach === true && options.command !== undefined)
    throw clash(
      '--detach and a command after -- exclude each other',
      'end the line with & to run both in the background',
    );
  if (options.env !== undefined && options.command === undefined && options.envFile === undefined)
    throw clash('--env needs a command after --, or --env-file', 'for example: intercept web --env A=1 -- npm run dev');
}

function parseSeconds(option: string, text: string): number {
  const seconds = Number(text);
  if (text === '' || !Number.isFinite(seconds) || seconds <= 0 || seconds > 86_400)
    throw new InterceptorError('USAGE_BAD_OPTION', `${option} "${text}" is not a number of seconds`, {
      hint: `for example ${option} 60`,
    });
  return seconds;
}
