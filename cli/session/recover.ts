import { errorText } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import { type KubeClient, resourcePath } from '../kube/client.ts';
import { type FoundInstall, inventory, listInterceptable } from '../kube/inventory.ts';
import { AGENT_CONTAINER } from '../kube/names.ts';
import { labelSelectorText, type Pod, type Workload, workloadText } from '../kube/objects.ts';
import type { InstallRecord } from '../kube/record.ts';
import { restore } from '../kube/restore.ts';
import { rescueServices } from '../kube/restore-services.ts';
import { sweepNamespace } from '../kube/sweep.ts';
import type { Report } from '../ui/events.ts';
import { podUsesInstall } from './agent-pods.ts';
import { askPods } from './ask-agent.ts';
import { removeEnvFile } from './env-file.ts';
import { removeLeftFiles } from './files/folder.ts';
import { handBack, otherHolders, readWorkload, STARTING_GRACE_MS } from './hand-back.ts';
import type { HostRef } from './host.ts';
import { removeLeftPods } from './recover-pods.ts';
import { mayBeRestoring } from './restore-under-way.ts';
import { isAlive, readSessionRecords, removeSessionRecord, type SessionRecord } from './state-files.ts';

/** An agent that no session has used for this long is left behind: longer than a session takes to dial again. */
export const ABANDONED_AFTER_MS = 30_000;

/** Records on this laptop of sessions that are gone without restoring. */
export async function deadSessions(): Promise<SessionRecord[]> {
  const records = await readSessionRecords();
  const alive = await Promise.all(records.map(isAlive));
  return records.filter((_, index) => !alive[index]);
}

/** Removes what sessions of this laptop left in files: the pods' environments and copies. They were killed with their guardian. */
export async function removeLeftEnvFiles(): Promise<void> {
  await removeLeftFiles();
  for (const { envFile, sessionId } of await deadSessions())
    if (envFile !== undefined) await removeEnvFile(envFile, sessionId).catch(() => {}); // the folder is read-only now
}

export interface RecoverContext {
  readonly identity: SessionIdentity;
  readonly report: Report;
  readonly log: Log;
  readonly signal?: AbortSignal;
  /** Workloads whose restore is under way, by name, kept by a caller that looks again meanwhile. */
  readonly busy?: Set<string>;
  /** This is what was asked for: failures are warnings, and ConfigMaps and Secrets that belong to no install any more go, too. */
  readonly sweeps?: boolean;
}

/**
 * Restores what sessions that are gone left in the namespace: this laptop's own at once, anybody's after
 * ABANDONED_AFTER_MS without a session, and a restore that has begun once it has stopped. Services that lead to agents which are
 * gone (a reverted or deleted workload) are put back at once, whoever is at it. Failures are logged, and keep nothing else
 * from being restored: the user asked for something else.
 * @param except the workload that is about to be intercepted (its agent is used again)
 */
export async function recoverAbandoned(
  client: KubeClient,
  namespace: string,
  except: HostRef | undefined,
  context: RecoverContext,
): Promise<number> {
  const { identity, report, log, signal, busy = new Set() } = context;
  let restored = 0;
  const failed: Log['warn'] = (message, fields) =>
    context.sweeps === true ? log.warn(message, fields) : log.debug(message, fields);
  try {
    const [{ workloads, services }, dead] = await Promise.all([listInterceptable(client, namespace), deadSessions()]);
    const own = dead.filter((record) => record.namespace === namespace && record.server === client.access.server);
    const still = except === undefined ? undefined : workloadText(except);
    const one = async (found: FoundInstall): Promise<void> => {
      const name = workloadText(found.ref);
      if (name === still || busy.has(name)) return;
      busy.add(name);
      try {
        if (await recoverOne(client, found, own, context)) restored++;
      } catch (error) {
        failed('what others left behind is not restored yet', { workload: name, reason: errorText(error) });
      } finally {
        busy.delete(name);
      }
    };
    signal?.throwIfAborted();
    await Promise.all(inventory(workloads, services).map(one));
    const deadPods = own.flatMap(({ workloadKind, workloadName }) => (workloadKind === 'Pod' ? [workloadName] : []));
    const ownPod = except?.kind === 'Pod' ? except.name : undefined;
    for (const name of await removeLeftPods(client, namespace, new Set(deadPods), ownPod, { identity, log })) {
      report({ event: 'recovered', workload: `pod/${name}`, namespace });
      restored++;
    }
    if (context.sweeps === true)
      for (const name of await sweepNamespace(client, namespace, workloads, { signal })) {
        report({ event: 'recovered', workload: name, namespace });
        restored++;
      }
    for (const record of own)
      if (`${record.workloadKind.toLowerCase()}/${record.workloadName}` !== still) await removeSessionRecord(record);
  } catch (error) {
    failed('looking for what others left behind failed', { reason: errorText(error) });
  }
  return restored;
}

async function recoverOne(
  client: KubeClient,
  found: FoundInstall,
  own: readonly SessionRecord[],
  context: RecoverContext,
): Promise<boolean> {
  const { ref, install } = found;
  const { identity, report, log, signal } = context;
  if (found.retargetedService !== undefined && install.state !== 'installed') {
    const record = 'record' in install ? install.record : undefined;
    const back = await rescueServices(client, ref, record, { signal });
    for (const { service } of back)
      report({ event: 'recovered', workload: `service/${service.metadata.name}`, namespace: ref.namespace });
    // The workload is as it was, by whomever: what is left of that install, and of that alone, goes.
    const installs = install.state === 'none' ? new Set(back.flatMap(({ installId }) => installId ?? [])) : [];
    for (const installId of installs) await restore(client, ref, { installId, signal });
    if (install.state === 'none') return back.length > 0;
  }
  const ownSessions = [identity.sessionId, ...own.map((record) => record.sessionId)];
  if (!(await isAbandoned(client, found, ownSessions, own, context))) return false;
  const outcome = await handBack({
    client,
    ref,
    identity,
    ownSessions,
    keepAgent: false,
    takesOut: 'used',
    report: (event) => {
      if (event.event === 'kept') report(event);
    },
    log,
    ...(signal === undefined ? {} : { signal }),
  });
  if (outcome === 'nothing') return false;
  const recovered = { event: 'recovered', workload: workloadText(ref), namespace: ref.namespace } as const;
  report(install.state === 'restoring' ? { ...recovered, unfinished: true } : recovered);
  return true;
}

async function isAbandoned(
  client: KubeClient,
  found: FoundInstall,
  ownSessions: readonly string[],
  own: readonly SessionRecord[],
  context: { identity: SessionIdentity; log: Log },
): Promise<boolean> {
  const { install } = found;
  const ours = own.some((record) => record.workloadName === found.ref.name && record.workloadKind === found.ref.kind);
  if (install.state === 'restoring' && ours) return true;
  if (install.state === 'none' || install.state === 'unreadable') return false;
  if (install.state === 'installed' && install.record.keepAgent) return false;
  const workload = await readWorkload(client, found.ref);
  if (workload === undefined) return found.retargetedService !== undefined;
  if (install.state === 'restoring') return !mayBeRestoring(workload, Date.now());
  const { identity, log } = context;
  const pods = await podsWithAgent(client, workload, install.record);
  const statuses = await askPods(client, pods, install.record, identity, { method: 'status', params: {} }, log);
  if (otherHolders(statuses, ownSessions).length > 0) return false;
  if (ours) return true;
  if (statuses.length > 0) return statuses.every((status) => status.idleMs >= ABANDONED_AFTER_MS);
  // Agents that run and are out of reach for us may be used by somebody all the same.
  return pods.length === 0 && Date.now() - Date.parse(install.record.createdAt) > STARTING_GRACE_MS;
}

/** The pods whose agent is ready, whatever the app is. */
async function podsWithAgent(client: KubeClient, workload: Workload, record: InstallRecord): Promise<Pod[]> {
  const { namespace = '' } = workload.metadata;
  const pods = await client.list<Pod>(resourcePath({ apiVersion: 'v1', resource: 'pods', namespace }), {
    labelSelector: labelSelectorText(workload.spec.selector),
  });
  const isAgentReady = ({ status }: Pod): boolean =>
    status?.containerStatuses?.some(({ name, ready }) => name === AGENT_CONTAINER && ready === true) === true;
  return pods.items.filter((pod) => podUsesInstall(pod, record) && isAgentReady(pod));
}
