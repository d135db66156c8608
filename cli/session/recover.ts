import { errorText } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { AgentStatus, SessionIdentity } from '../../src/protocol/control.ts';
import type { KubeClient } from '../kube/client.ts';
import { type FoundInstall, findInstalls } from '../kube/inventory.ts';
import { workloadText } from '../kube/objects.ts';
import type { Report } from '../ui/events.ts';
import { askAgents } from './ask-agent.ts';
import { removeEnvFile } from './env-file.ts';
import { removeLeftFiles } from './files/folder.ts';
import { handBack, otherHolders, readWorkload } from './hand-back.ts';
import type { HostRef } from './host.ts';
import { removeLeftPods } from './recover-pods.ts';
import { mayBeRestoring } from './restore-under-way.ts';
import { isAlive, readSessionRecords, removeSessionRecord, type SessionRecord } from './state-files.ts';

/** An agent that no session has used for this long is left behind: longer than a session takes to dial again. */
export const ABANDONED_AFTER_MS = 30_000;
/** An install this young may belong to a session that has not dialled yet. */
const STARTING_GRACE_MS = 120_000;

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

/**
 * Restores what sessions that are gone left in the namespace: this laptop's own at once, anybody's after
 * ABANDONED_AFTER_MS without a session, and a restore that has begun once it has stopped. Failures are logged: the user
 * asked for something else.
 * @param except the workload that is about to be intercepted (its agent is used again)
 */
export async function recoverAbandoned(
  client: KubeClient,
  namespace: string,
  except: HostRef | undefined,
  context: { identity: SessionIdentity; report: Report; log: Log; signal?: AbortSignal },
): Promise<number> {
  const { identity, report, log, signal } = context;
  try {
    const [installs, dead] = await Promise.all([findInstalls(client, namespace), deadSessions()]);
    const own = dead.filter((record) => record.namespace === namespace && record.server === client.access.server);
    const ownSessions = [identity.sessionId, ...own.map((record) => record.sessionId)];
    let restored = 0;
    for (const install of installs) {
      signal?.throwIfAborted();
      if (except !== undefined && workloadText(except) === workloadText(install.ref)) continue;
      if (!(await isAbandoned(client, install, ownSessions, own, context))) continue;
      await handBack({
        client,
        ref: install.ref,
        identity,
        ownSessions,
        keepAgent: false,
        takesOut: 'used',
        report: () => {},
        log,
        ...(signal === undefined ? {} : { signal }),
      });
      const unfinished = install.install.state === 'restoring';
      const recovered = { event: 'recovered', workload: workloadText(install.ref), namespace } as const;
      report(unfinished ? { ...recovered, unfinished } : recovered);
      restored++;
    }
    const deadPods = own.flatMap(({ workloadKind, workloadName }) => (workloadKind === 'Pod' ? [workloadName] : []));
    const ownPod = except?.kind === 'Pod' ? except.name : undefined;
    for (const name of await removeLeftPods(client, namespace, new Set(deadPods), ownPod, { identity, log })) {
      report({ event: 'recovered', workload: `pod/${name}`, namespace });
      restored++;
    }
    const still = except === undefined ? undefined : workloadText(except);
    for (const record of own)
      if (`${record.workloadKind.toLowerCase()}/${record.workloadName}` !== still) await removeSessionRecord(record);
    return restored;
  } catch (error) {
    log.debug('looking for what others left behind failed', { reason: errorText(error) });
    return 0;
  }
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
  if (install.state === 'none') return found.retargetedService !== undefined;
  if (install.state === 'unreadable') return false;
  if (install.state === 'installed' && install.record.keepAgent) return false;
  const workload = await readWorkload(client, found.ref);
  if (workload === undefined) return found.retargetedService !== undefined;
  if (install.state === 'restoring') return !mayBeRestoring(workload, Date.now());
  const statuses = await askAgents(
    client,
    workload,
    install.record,
    context.identity,
    { method: 'status', params: {} },
    context.log,
  );
  if (otherHolders(statuses, ownSessions).length > 0) return false;
  return ours || idleLongEnough(statuses, Date.parse(install.record.createdAt));
}

/** With no agent to ask (no pods), the install's age decides. */
function idleLongEnough(statuses: readonly AgentStatus[], createdAtMs: number): boolean {
  if (statuses.length === 0) return Date.now() - createdAtMs > STARTING_GRACE_MS;
  return statuses.every((status) => status.idleMs >= ABANDONED_AFTER_MS);
}
