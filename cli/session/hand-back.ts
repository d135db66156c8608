import { InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { AgentStatus, Holder, SessionIdentity } from '../../src/protocol/control.ts';
import { readInstall } from '../kube/annotation.ts';
import { isNotFound, type KubeClient } from '../kube/client.ts';
import { type Service, type Workload, type WorkloadRef, workloadPath, workloadText } from '../kube/objects.ts';
import { type RestoreStep, readWithRecord, restore } from '../kube/restore.ts';
import type { Report } from '../ui/events.ts';
import { askAgents } from './ask-agent.ts';
import { whoIs } from './identity.ts';

export interface HandBackOptions {
  readonly client: KubeClient;
  readonly ref: WorkloadRef;
  readonly identity: SessionIdentity;
  /** Sessions that do not count as somebody else's: the caller's own, dead ones. */
  readonly ownSessions: readonly string[];
  /** The session was started with --keep-agent. */
  readonly keepAgent: boolean;
  /** Which agent is taken out: one that nobody uses; also one that is to be kept; also one that others use. */
  readonly takesOut: 'unused' | 'kept' | 'used';
  /** Touch only this install: whatever else is there is somebody else's. */
  readonly installId?: string | undefined;
  /** The session's own install, whether it came to its patch or not. */
  readonly over?: string | undefined;
  /** See RestoreOptions. */
  readonly originals?: readonly (Workload | Service)[] | undefined;
  readonly recordText?: string | undefined;
  readonly report: Report;
  readonly log: Log;
  /** What the agents say, where the caller has tunnels; else they are dialled. */
  readonly statuses?: readonly AgentStatus[];
  /** Aborted: stop waiting. */
  readonly signal?: AbortSignal;
}

/** An install this young may belong to a session that has not dialled yet. */
export const STARTING_GRACE_MS = 120_000;

/** `unsure`: all that hold the agent have lost their tunnels, or somebody's install has not come up yet: they come within a moment, or never. */
export type HandBackOutcome = 'restored' | 'kept' | 'unsure' | 'nothing';

/** Restores a workload at the end of a session, unless somebody else still uses its agent or it is to be kept. */
export async function handBack(options: HandBackOptions): Promise<HandBackOutcome> {
  const { client, ref, report } = options;
  const name = workloadText(ref);
  const { recordText } = options;
  const workload = await readWithRecord(client, ref, { recordText });
  const install = workload === undefined ? undefined : readInstall(workload);
  const { installId } = options;
  const foreign = installId !== undefined && install !== undefined && 'record' in install;
  if (foreign && install.record.installId !== installId) return 'nothing';
  if (options.takesOut !== 'used' && workload !== undefined && install?.state === 'installed') {
    const kept = (reason: string): void =>
      report({ event: 'agent-kept', namespace: ref.namespace, workload: name, reason });
    if (options.takesOut === 'unused' && (options.keepAgent || install.record.keepAgent)) {
      kept('--keep-agent');
      return 'kept';
    }
    const question = { method: 'status', params: {} } as const;
    const statuses =
      options.statuses ?? (await askAgents(client, workload, install.record, options.identity, question, options.log));
    const holders = otherHolders(statuses, options.ownSessions);
    const holder = holders.find(({ connected }) => connected) ?? holders[0];
    if (holder !== undefined) {
      kept(holder.connected ? `${whoIs(holder)} uses it` : `${whoIs(holder)}, who uses it, has just lost the tunnel`);
      return holder.connected ? 'kept' : 'unsure';
    }
    // A colleague's install of which no pod is up yet: nobody could claim anything so far.
    const isTheirs = options.over !== undefined && install.record.installId !== options.over;
    const ageMs = Date.now() - Date.parse(install.record.createdAt);
    if (options.takesOut === 'unused' && isTheirs && statuses.length === 0 && ageMs < STARTING_GRACE_MS) {
      const { user, host } = install.record.createdBy;
      kept(`${user}@${host} has just brought it in`);
      return 'unsure';
    }
  }
  const result = await restore(client, ref, {
    installId,
    over: options.over,
    originals: options.originals,
    recordText,
    onProgress: (step) => reportStep(report, step),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  if (result.outcome === 'nothing') return 'nothing';
  const back = result.isGone ? result.services.map((service) => `service/${service}`) : [name];
  for (const restored of back) report({ event: 'restored', workload: restored });
  return 'restored';
}

/** Sessions of others that hold a claim, connected or within their grace. */
export function otherHolders(statuses: readonly AgentStatus[], own: readonly string[]): Holder[] {
  return statuses.flatMap((status) => status.sessions).filter((session) => !own.includes(session.sessionId));
}

/** @returns undefined when it does not exist */
export async function readWorkload(client: KubeClient, ref: WorkloadRef): Promise<Workload | undefined> {
  try {
    return await client.get<Workload>(workloadPath(ref));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** What a failed restore means to the user. */
export function restoreFailed(ref: WorkloadRef, cause: unknown): InterceptorError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new InterceptorError('RESTORE_INCOMPLETE', `${workloadText(ref)} is not restored yet: ${why}`, {
    hint: `the app answers its traffic; finish with: intercept leave ${workloadText(ref)} -n ${ref.namespace}`,
    cause,
  });
}

function reportStep(report: Report, step: RestoreStep): void {
  switch (step.step) {
    case 'service':
      report({ event: 'restoring', step: `service/${step.service}` });
      return;
    case 'workload':
      report({ event: 'restoring', step: 'pod template' });
      return;
    case 'rollout': {
      const why = step.waitingFor === undefined ? '' : ` (${step.waitingFor})`;
      report({ event: 'restoring', step: `pods ${step.updatedReady}/${step.wanted}${why}` });
      return;
    }
    case 'kept':
      report({ event: 'kept', object: step.object, diff: step.diff });
      return;
    case 'cleaned':
      return;
    default:
      step satisfies never;
  }
}
