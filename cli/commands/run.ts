import { InterceptorError } from '../../src/errors.ts';
import { prepareInstall } from '../kube/apply.ts';
import { KubeClient } from '../kube/client.ts';
import { ownPodDiff } from '../kube/diff.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { newInstallId } from '../kube/names.ts';
import { workloadText } from '../kube/objects.ts';
import { planOwnPod } from '../kube/own-pod.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { parseTarget, requireJoinable, resolveTarget } from '../kube/target.ts';
import { PodHost } from '../session/pod-host.ts';
import { runSession } from '../session/run-session.ts';
import { WorkloadHost } from '../session/workload-host.ts';
import { printDiff, printInstall } from './dry-run.ts';
import { agentOptions, checkSession, programStart, type SessionCommandOptions, sessionVoice } from './session-start.ts';

export interface RunOptions extends SessionCommandOptions {
  /** `--as`: the service account of the session's own pod. */
  readonly as?: string;
}

/** `intercept run [target] -- command`: the command stands inside, and no traffic is taken. @returns the exit code */
export async function run(targetText: string | undefined, options: RunOptions): Promise<number> {
  if (options.command === undefined)
    throw new InterceptorError('USAGE_BAD_OPTION', 'run needs a command after --', {
      hint: 'for example: intercept run web -- npm test; a shell: intercept shell web; only a proxy: intercept connect --network proxy',
    });
  return await runInside(targetText, options);
}

/** As run(), and without a command for as long as nobody ends it. @returns the exit code */
export async function runInside(targetText: string | undefined, options: RunOptions): Promise<number> {
  if (targetText === undefined) return await runInOwnPod(options);
  if (options.as !== undefined)
    throw new InterceptorError('USAGE_BAD_OPTION', `--as ${options.as} does not go with a target`, {
      hint: `the pods of ${targetText} have their own service account; leave the target out for a pod with another`,
    });
  return await runInWorkload(targetText, options);
}

async function runInWorkload(targetText: string, options: RunOptions): Promise<number> {
  const target = parseTarget(targetText);
  const voice = sessionVoice(options);
  const { identity, report, log } = voice;
  const checked = await checkSession(options, report);
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const [found, agent] = await Promise.all([
    resolveTarget(client, { target, namespace, withoutService: true }),
    agentOptions(options),
  ]);
  requireJoinable(found);
  const request: InstallRequest = {
    namespace,
    kind: found.kind,
    name: found.workload.metadata.name,
    mode: { kind: 'sidecar' },
    services: [],
    ports: [],
    agent,
    createdBy: { user: identity.user, host: identity.host },
    keepAgent: false,
  };
  const host = new WorkloadHost({ client, identity, request, report, log });
  const workload = workloadText(host.ref);
  report({ event: 'found', namespace, workload, service: undefined, ports: [], pods: found.pods.length });
  if (options.dryRun === true) return printInstall(await prepareInstall(client, request), options, voice);
  return await runSession(
    {
      ...checked.process,
      ...voice,
      client,
      host,
      traffic: undefined,
      tunnel: checked.tunnel,
      resumeMs: checked.resumeMs,
      startedAt: programStart(),
    },
    {
      target: targetText,
      kubeconfig: checked.kubeconfig,
      workloadUid: found.workload.metadata.uid ?? '',
      keepAgent: false,
    },
  );
}

async function runInOwnPod(options: RunOptions): Promise<number> {
  const voice = sessionVoice(options);
  const { identity, report, log } = voice;
  const checked = await checkSession(options, report);
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const request = {
    namespace,
    agent: await agentOptions(options),
    serviceAccount: options.as,
    createdBy: { user: identity.user, host: identity.host },
  };
  if (options.dryRun === true) {
    const plan = planOwnPod({ ...request, installId: newInstallId() }, new Date().toISOString());
    return printDiff(ownPodDiff(plan), options, voice);
  }
  const host = new PodHost({ client, request, report, log });
  return await runSession(
    {
      ...checked.process,
      ...voice,
      client,
      host,
      traffic: undefined,
      tunnel: checked.tunnel,
      resumeMs: checked.resumeMs,
      startedAt: programStart(),
    },
    { target: workloadText(host.ref), kubeconfig: checked.kubeconfig, workloadUid: '', keepAgent: false },
  );
}
