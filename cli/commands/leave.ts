import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { Holder, SessionIdentity } from '../../src/protocol/control.ts';
import type { ClusterOptions } from '../common-options.ts';
import { readInstall } from '../kube/annotation.ts';
import { KubeClient } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { isWorkloadKind, type Workload, type WorkloadRef, workloadText } from '../kube/objects.ts';
import { removeOwnPodNamed } from '../kube/own-pod.ts';
import { parseTarget, resolveTarget } from '../kube/target.ts';
import { undoLeftovers } from '../network/system/undo.ts';
import { askAgents } from '../session/ask-agent.ts';
import { askToLeave } from '../session/ask-to-leave.ts';
import { handBack, readWorkload, restoreFailed } from '../session/hand-back.ts';
import { newIdentity, whoIs } from '../session/identity.ts';
import { endLeftCommands } from '../session/left-commands.ts';
import { recoverAbandoned, removeLeftEnvFiles } from '../session/recover.ts';
import { readSessionRecords, removeSessionRecord, type SessionRecord } from '../session/state-files.ts';
import type { Report } from '../ui/events.ts';
import { laptopLog } from '../ui/laptop-log.ts';
import { createReporter, reporterForm } from '../ui/reporter.ts';

export interface LeaveOptions extends ClusterOptions {
  readonly all?: boolean;
  /** The sessions of others, too. */
  readonly everyone?: boolean;
  readonly service?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** `intercept leave`. @returns the exit code */
export async function leave(targetText: string | undefined, options: LeaveOptions): Promise<number> {
  if (targetText !== undefined && options.all === true)
    throw new InterceptorError('USAGE_BAD_OPTION', 'a target and --all exclude each other', {
      hint: 'intercept leave web, or intercept leave --all',
    });
  if (options.everyone === true && options.all === true)
    throw new InterceptorError('USAGE_BAD_OPTION', '--all and --everyone exclude each other', {
      hint: 'name the target whose sessions are to end: intercept leave web --everyone',
    });
  const form = reporterForm(options.json === true, process.stderr);
  const out = options.json === true ? process.stdout : process.stderr;
  const report = createReporter({ form, out, colour: process.env.NO_COLOR === undefined });
  await endLeftCommands(report);
  await removeLeftEnvFiles();
  if (options.all === true) return await leaveAll(options, report);
  return await leaveOne(targetText ?? (await onlySession()), options, report);
}

async function onlySession(): Promise<string> {
  const records = await readSessionRecords();
  const [record, ...others] = records;
  if (record === undefined)
    throw new InterceptorError('SESSION_NOT_FOUND', 'no session on this laptop', {
      hint: 'name the target: intercept leave web',
    });
  if (others.length > 0) {
    const each = records.map(({ target, namespace }) => `intercept leave ${target} -n ${namespace}`);
    throw new InterceptorError('USAGE_BAD_TARGET', `${records.length} sessions on this laptop`, {
      hint: `say which: ${each.join(', ')}; or all: intercept leave --all`,
    });
  }
  return record.target;
}

async function leaveOne(targetText: string, options: LeaveOptions, report: Report): Promise<number> {
  if (targetText.startsWith('pod/')) return await leaveOwnPod(targetText, options, report);
  const target = parseTarget(targetText);
  const log = laptopLog(options.debug === true);
  const mine = (await readSessionRecords()).filter(
    (record) =>
      record.target === targetText && (options.namespace === undefined || options.namespace === record.namespace),
  );
  const [only] = mine;
  // A session's own record says where it runs, so `leave web` needs no -n or --context that the session was given.
  const own = mine.length === 1 ? only : undefined;
  const access = await loadKubeConfig({
    kubeconfig: options.kubeconfig ?? own?.kubeconfig,
    context: options.context ?? own?.context,
  });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? own?.namespace ?? access.namespace;
  const resolved = await resolveTarget(client, { target, namespace, service: options.service ?? own?.service });
  const ref: WorkloadRef = { kind: resolved.kind, namespace, name: resolved.workload.metadata.name };
  let ended = false;
  for (const record of await readSessionRecords()) {
    if (record.server !== access.server || record.namespace !== namespace) continue;
    if (record.workloadKind !== ref.kind || record.workloadName !== ref.name) continue;
    if ((await askToLeave(record, report)) === 'gone') await removeSessionRecord(record);
    else ended = true;
  }
  const identity = newIdentity();
  const everyone = options.everyone === true;
  const evicted = await evictFrom(client, resolved.workload, { ref, identity, everyone, endedOwn: ended, log });
  try {
    const done = await handBack({
      client,
      ref,
      identity,
      ownSessions: evicted,
      keepAgent: false,
      takesOut: everyone ? 'used' : 'kept',
      report,
      log,
    });
    if (done === 'nothing' && !ended)
      throw new InterceptorError('SESSION_NOT_FOUND', `${workloadText(ref)} in ${namespace} is not intercepted`, {
        hint: `intercept list -n ${namespace} shows what is`,
      });
    if (done === 'nothing') report({ event: 'restored', workload: workloadText(ref) }); // by the session itself
    return 0;
  } catch (error) {
    if (error instanceof InterceptorError && error.code === 'SESSION_NOT_FOUND') throw error;
    throw restoreFailed(ref, error);
  }
}

interface Eviction {
  readonly ref: WorkloadRef;
  readonly identity: SessionIdentity;
  readonly everyone: boolean;
  /** A session of this laptop has been ended just now. */
  readonly endedOwn: boolean;
  readonly log: Log;
}

/**
 * Ends the caller's own sessions on the agents (those of this user on this laptop), or everybody's.
 * @returns the ids of those that were to be ended
 * @throws InterceptorError TARGET_IN_USE: none is the caller's, and others use the agent
 */
async function evictFrom(client: KubeClient, workload: Workload, eviction: Eviction): Promise<string[]> {
  const { ref, identity, everyone, endedOwn, log } = eviction;
  const install = readInstall(workload);
  if (install.state !== 'installed') return [];
  const ask = { method: 'status', params: {} } as const;
  const statuses = await askAgents(client, workload, install.record, identity, ask, log);
  const holders = new Map(statuses.flatMap(({ sessions }) => sessions).map((holder) => [holder.sessionId, holder]));
  const own = [...holders.values()].filter((holder) => everyone || whoIs(holder) === whoIs(identity));
  if (own.length === 0 && holders.size > 0 && !endedOwn) throw notYours(ref, [...holders.values()]);
  if (own.length === 0) return [];
  const sessionIds = own.map(({ sessionId }) => sessionId);
  const params = { by: whoIs(identity), ...(everyone ? {} : { sessionIds }) };
  await askAgents(client, workload, install.record, identity, { method: 'evict', params }, log);
  return sessionIds;
}

function notYours(ref: WorkloadRef, holders: readonly Holder[]): InterceptorError {
  const name = workloadText(ref);
  const names = [...new Set(holders.map(whoIs))].join(', ');
  return new InterceptorError('TARGET_IN_USE', `${name} is intercepted by ${names}, and not by you`, {
    hint: `ask them to end it; or end their sessions, too: intercept leave ${name} -n ${ref.namespace} --everyone`,
  });
}

/** Ends a session that has a pod of its own; the pod of one that is gone is deleted. */
async function leaveOwnPod(targetText: string, options: LeaveOptions, report: Report): Promise<number> {
  const record = (await readSessionRecords()).find(({ target }) => target === targetText);
  const ended = record !== undefined && (await askToLeave(record, report)) !== 'gone';
  const access = await loadKubeConfig({
    kubeconfig: options.kubeconfig ?? record?.kubeconfig,
    context: options.context ?? record?.context,
  });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? record?.namespace ?? access.namespace;
  const removed = await removeOwnPodNamed(client, namespace, targetText.slice('pod/'.length));
  if (record !== undefined) await removeSessionRecord(record);
  if (!removed && !ended)
    throw new InterceptorError('SESSION_NOT_FOUND', `${targetText} in ${namespace} is not a session's`, {
      hint: `intercept list -n ${namespace} shows what is`,
    });
  report({ event: 'removed', workload: targetText });
  return 0;
}

async function leaveAll(options: LeaveOptions, report: Report): Promise<number> {
  const { what, failures } = await undoLeftovers(); // as root; before the cluster, whose name may need it
  if (what.length > 0) report({ event: 'warning', message: `put back on this laptop: ${what.join(', ')}` });
  for (const failure of failures) report({ event: 'warning', message: `not put back on this laptop: ${failure}` });
  for (const record of (await readSessionRecords()).filter((one) => isMeant(one, options))) {
    const end = await askToLeave(record, report);
    if (end === 'stuck') await leaveWithout(record, options, report);
    if (end !== 'gone')
      await tellOutcome(record, options, report).catch((error: unknown) =>
        report({
          event: 'warning',
          message: `what has become of ${record.target} cannot be told: ${errorText(error)}`,
        }),
      );
  }
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.namespace ?? access.namespace;
  const log = laptopLog(options.debug === true);
  await recoverAbandoned(client, namespace, undefined, { identity: newIdentity(), report, log, sweeps: true });
  return 0;
}

/** --all means all of this laptop, or those of the namespace and the context that are given. */
export function isMeant(
  record: Pick<SessionRecord, 'namespace' | 'context'>,
  { namespace, context }: LeaveOptions,
): boolean {
  return (
    (namespace === undefined || record.namespace === namespace) && (context === undefined || record.context === context)
  );
}

async function connectTo(record: SessionRecord, options: LeaveOptions): Promise<KubeClient> {
  return await KubeClient.connect(
    await loadKubeConfig({ kubeconfig: options.kubeconfig ?? record.kubeconfig, context: record.context }),
  );
}

function workloadRef({ workloadKind, workloadName, namespace }: SessionRecord): WorkloadRef {
  return { kind: isWorkloadKind(workloadKind) ? workloadKind : 'Deployment', namespace, name: workloadName };
}

/** Gives back what a session has that does not do so itself. A failure is told, and keeps nothing else from being given back. */
async function leaveWithout(record: SessionRecord, options: LeaveOptions, report: Report): Promise<void> {
  if (record.workloadKind === 'Pod') return; // see tellOutcome()
  const ref = workloadRef(record);
  const identity = newIdentity();
  const log = laptopLog(options.debug === true);
  try {
    await using client = await connectTo(record, options);
    const workload = await readWorkload(client, ref);
    if (workload === undefined) return;
    const evicted = await evictFrom(client, workload, { ref, identity, everyone: false, endedOwn: true, log });
    const ownSessions = [record.sessionId, ...evicted];
    const silent: Report = (event) => {
      if (event.event !== 'restored' && event.event !== 'agent-kept') report(event); // see tellOutcome()
    };
    await handBack({ client, ref, identity, ownSessions, keepAgent: false, takesOut: 'kept', report: silent, log });
  } catch (error) {
    report({ event: 'warning', message: restoreFailed(ref, error).message });
  }
}

/** What has become of the workload of a session that has been asked to leave. */
async function tellOutcome(record: SessionRecord, options: LeaveOptions, report: Report): Promise<void> {
  await using client = await connectTo(record, options);
  if (record.workloadKind === 'Pod') {
    await removeOwnPodNamed(client, record.namespace, record.workloadName); // it is gone, but for a session that hangs
    report({ event: 'removed', workload: record.target });
    return;
  }
  const ref = workloadRef(record);
  const workload = await readWorkload(client, ref);
  const install = workload === undefined ? undefined : readInstall(workload);
  const name = workloadText(ref);
  if (install === undefined) report({ event: 'warning', message: `${name} is not there any more` });
  else if (install.state === 'none') report({ event: 'restored', workload: name });
  else if (install.state === 'installed') {
    const reason = install.record.keepAgent ? '--keep-agent' : 'it is still used';
    report({ event: 'agent-kept', namespace: ref.namespace, workload: name, reason });
  } else {
    const again = `intercept leave ${name} -n ${ref.namespace}`;
    report({ event: 'warning', message: `${name} is not restored yet; finish with: ${again}` });
  }
}
