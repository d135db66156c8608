import { InterceptorError } from '../../src/errors.ts';
import { prepareInstall } from '../kube/apply.ts';
import { KubeClient } from '../kube/client.ts';
import { planDiff } from '../kube/diff.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { workloadText } from '../kube/objects.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { choosePorts, parsePortOption } from '../kube/ports.ts';
import { parseTarget, requireInterceptable, resolveTarget } from '../kube/target.ts';
import { isDetachedChild, runDetached } from '../session/detach.ts';
import { parseToOption } from '../session/listening.ts';
import { givesOwnPorts, type NetworkOptions } from '../session/network.ts';
import { requireNoTwin } from '../session/port-in-use.ts';
import { ProcessPort } from '../session/process-port.ts';
import { runSession } from '../session/run-session.ts';
import { type Sharing, Traffic } from '../session/traffic.ts';
import { WorkloadHost } from '../session/workload-host.ts';
import { agentOptions, checkSession, programStart, type SessionCommandOptions, sessionVoice } from './session-start.ts';

export interface InterceptOptions extends SessionCommandOptions {
  readonly port?: readonly string[];
  readonly service?: string;
  readonly to?: string;
  readonly http?: boolean;
  readonly detach?: boolean;
  readonly keepAgent?: boolean;
  readonly listenTimeout: string;
  readonly hold: string;
}

/** `intercept <target>`. @returns the exit code */
export async function intercept(targetText: string, options: InterceptOptions): Promise<number> {
  // Everything the user typed is checked before anything is asked of the cluster.
  const target = parseTarget(targetText);
  const portOptions = (options.port ?? []).map(parsePortOption);
  const to = options.to === undefined ? undefined : parseToOption(options.to);
  const listenTimeoutMs = parseSeconds('--listen-timeout', options.listenTimeout) * 1000;
  checkTogether(options);
  const checked = await checkSession(options);
  if (options.detach === true && !isDetachedChild())
    return await runDetached({ json: options.json === true, target: targetText });

  const voice = sessionVoice(options);
  const { identity, report, log } = voice;
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const [resolved, agent] = await Promise.all([
    resolveTarget(client, { target, namespace, service: options.service }),
    agentOptions(options),
  ]);
  const found = requireInterceptable(resolved);
  const choices = choosePorts(found.service, found.workload, portOptions);
  const request: InstallRequest = {
    namespace,
    kind: found.kind,
    name: found.workload.metadata.name,
    service: found.service,
    ports: choices,
    agent,
    createdBy: { user: identity.user, host: identity.host },
    keepAgent: options.keepAgent === true,
  };
  const hasCommand = options.command !== undefined;
  const host = new WorkloadHost({ client, identity, request, report, log });
  const sharing: Sharing = { mirror: false, fallback: 'app', mark: false };
  const { fallback } = sharing;
  const holdMs = parseSeconds('--hold', options.hold) * 1000;
  const traffic = new Traffic({
    client,
    host,
    service: found.service,
    sharing,
    takeOver: false,
    holdMs,
    ports: (setRoute) =>
      choices.map(
        (choice) =>
          new ProcessPort({ choice, to, http: options.http === true, holdMs, fallback, report, log, setRoute }),
      ),
    listenTimeoutMs: hasCommand ? listenTimeoutMs : undefined,
    report,
  });
  if (hasCommand) {
    const { kind: workloadKind, name: workloadName } = request;
    const own = { server: access.server, namespace, workloadKind, workloadName };
    await requireFree(traffic.ports, checked.process.network, own);
  }
  const ports = traffic.ports.map((port) => port.describe);
  const service = found.service.metadata.name;
  const workload = workloadText(host.ref);
  report({ event: 'found', namespace, workload, service, ports, pods: found.pods.length });
  if (options.dryRun === true) {
    const diff = planDiff(await prepareInstall(client, request));
    if (options.json === true) report({ event: 'plan', diff });
    else process.stdout.write(diff);
    return 0;
  }
  return await runSession(
    { ...checked.process, ...voice, client, host, traffic, tunnel: checked.tunnel, startedAt: programStart() },
    {
      target: targetText,
      kubeconfig: checked.kubeconfig,
      workloadUid: found.workload.metadata.uid ?? '',
      keepAgent: options.keepAgent === true,
    },
  );
}

/** A first look, before anything is changed; where the command gets ports of its own, somebody may have the laptop's. */
async function requireFree(
  ports: readonly ProcessPort[],
  network: NetworkOptions | undefined,
  own: Parameters<typeof requireNoTwin>[0],
): Promise<void> {
  try {
    for (const port of ports) await port.requireFree();
  } catch (taken) {
    if (await givesOwnPorts(network)) return; // whose the traffic is, the agent will say
    await requireNoTwin(
      own,
      ports.map(({ describe }) => describe.appPort),
    );
    throw taken;
  }
}

function checkTogether(options: InterceptOptions): void {
  const clash = (text: string, hint: string): InterceptorError =>
    new InterceptorError('USAGE_BAD_OPTION', text, { hint });
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
