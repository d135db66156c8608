import { InterceptorError } from '../../src/errors.ts';
import { prepareInstall } from '../kube/apply.ts';
import { KubeClient } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { workloadText } from '../kube/objects.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { choosePorts, parsePortOption } from '../kube/ports.ts';
import { parseTarget, type ResolvedTarget, requireInterceptable, resolveTarget } from '../kube/target.ts';
import { isDetachedChild, runDetached } from '../session/detach.ts';
import { parseToOption } from '../session/listening.ts';
import { givesOwnPorts, type NetworkOptions } from '../session/network.ts';
import { requireNoTwin } from '../session/port-in-use.ts';
import { ProcessPort } from '../session/process-port.ts';
import { runSession } from '../session/run-session.ts';
import { readTlsFrom } from '../session/tls-from.ts';
import { type Sharing, Traffic } from '../session/traffic.ts';
import { WorkloadHost } from '../session/workload-host.ts';
import { printInstall } from './dry-run.ts';
import { parseSeconds } from './seconds.ts';
import { agentOptions, checkSession, programStart, type SessionCommandOptions, sessionVoice } from './session-start.ts';
import { parseSharing, requirePortsFor, type SharingOptions } from './sharing-options.ts';

export interface InterceptOptions extends SessionCommandOptions, SharingOptions {
  readonly port?: readonly string[];
  readonly service?: readonly string[];
  readonly container?: string;
  readonly to?: string;
  readonly http?: boolean;
  readonly detach?: boolean;
  readonly keepAgent?: boolean;
  /** False: `--no-direct`. */
  readonly direct?: boolean;
  readonly listenTimeout: string;
}

/** `intercept <target>`. @returns the exit code */
export async function intercept(targetText: string, options: InterceptOptions): Promise<number> {
  // Everything the user typed is checked before anything is asked of the cluster.
  const target = parseTarget(targetText);
  const portOptions = (options.port ?? []).map(parsePortOption);
  const to = options.to === undefined ? undefined : parseToOption(options.to);
  const listenTimeoutMs = parseSeconds('--listen-timeout', options.listenTimeout) * 1000;
  const shared = parseSharing(options);
  checkTogether(options);
  const voice = sessionVoice(options);
  const { identity, report, log } = voice;
  const checked = await checkSession(options, report);
  if (options.detach === true && !isDetachedChild())
    return await runDetached({ json: options.json === true, target: targetText });

  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const [resolved, agent] = await Promise.all([
    resolveTarget(client, { target, namespace, service: options.service }),
    agentOptions(options),
  ]);
  const { mode } = shared;
  const found = requireInterceptable(resolved, {
    replace: mode.kind === 'replace',
    redirect: mode.kind === 'redirect',
  });
  const through = interceptedServices(found, options.service);
  const choices = choosePorts(
    {
      workload: found.workload,
      services: found.services,
      through,
      mode,
      container: options.container,
    },
    portOptions,
  );
  requirePortsFor(shared, choices);
  const services = found.services.filter(
    ({ metadata: { name } }) => through.includes(name) || choices.some(({ service }) => service === name),
  );
  const request: InstallRequest = {
    namespace,
    kind: found.kind,
    name: found.workload.metadata.name,
    mode,
    services: found.services,
    container: options.container,
    ports: choices,
    agent,
    createdBy: { user: identity.user, host: identity.host },
    keepAgent: options.keepAgent === true,
    holdOldPods: true,
  };
  const hasCommand = options.command !== undefined;
  const host = new WorkloadHost({ client, identity, request, report, log });
  const { holdMs, takeOver } = shared;
  const tls = shared.tlsFrom === undefined ? undefined : await readTlsFrom(client, namespace, shared.tlsFrom);
  const sharing: Sharing = { ...shared.sharing, ...(tls === undefined ? {} : { tls }) };
  const traffic = new Traffic({
    client,
    host,
    services,
    mode: mode.kind,
    sharing,
    takeOver,
    holdMs,
    ports: (setRoute) =>
      choices.map((choice) => {
        const http = options.http === true && choice.protocol === 'tcp';
        const { fallback, mirror } = sharing;
        const routeAtFirst = mode.kind === 'replace' ? 'held' : 'app';
        return new ProcessPort({ choice, to, http, holdMs, fallback, routeAtFirst, mirror, report, log, setRoute });
      }),
    listenTimeoutMs: hasCommand ? listenTimeoutMs : undefined,
    report,
  });
  if (hasCommand) {
    const { kind: workloadKind, name: workloadName } = request;
    const own = { server: access.server, namespace, workloadKind, workloadName };
    await requireFree(traffic.ports, checked.process.network, isShared(sharing) ? undefined : own);
  }
  report({
    event: 'found',
    namespace,
    workload: workloadText(host.ref),
    ...traffic.describe,
    pods: found.pods.length,
  });
  if (options.dryRun === true) return printInstall(await prepareInstall(client, request), options, voice);
  return await runSession(
    {
      ...checked.process,
      ...voice,
      client,
      host,
      traffic,
      direct: options.direct !== false,
      tunnel: checked.tunnel,
      resumeMs: checked.resumeMs,
      startedAt: programStart(),
    },
    {
      target: targetText,
      kubeconfig: checked.kubeconfig,
      workloadUid: found.workload.metadata.uid ?? '',
      keepAgent: options.keepAgent === true,
    },
  );
}

/** The Services whose callers are meant, by name: those that --service names, else the one that is found. */
function interceptedServices({ service }: ResolvedTarget, wanted: readonly string[] | undefined): readonly string[] {
  return wanted ?? (service === undefined ? [] : [service.metadata.name]);
}

/** Whether another session of the same laptop may have the same port of the app. */
function isShared({ filter, mirror }: Sharing): boolean {
  return filter !== undefined || mirror;
}

/** A first look, before anything is changed; where the command gets ports of its own, somebody may have the laptop's. */
async function requireFree(
  ports: readonly ProcessPort[],
  network: NetworkOptions | undefined,
  own: Parameters<typeof requireNoTwin>[0] | undefined,
): Promise<void> {
  try {
    for (const port of ports) await port.requireFree();
  } catch (taken) {
    if (await givesOwnPorts(network)) return; // whose the traffic is, the agent will say
    const appPorts = ports.map(({ describe }) => describe.appPort);
    if (own !== undefined) await requireNoTwin(own, appPorts);
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
