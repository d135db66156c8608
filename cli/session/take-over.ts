import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, InterceptorError } from '../../src/errors.ts';
import { createLog, jsonLines, type Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import { readInstall } from '../kube/annotation.ts';
import { KubeClient } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { isWorkloadKind, type Workload, workloadText } from '../kube/objects.ts';
import { removeOwnPodNamed } from '../kube/own-pod.ts';
import { rescueServices } from '../kube/restore-services.ts';
import { askAgents } from './ask-agent.ts';
import { backoffMs, pause } from './backoff.ts';
import { removeEnvFile } from './env-file.ts';
import { removeSessionFiles } from './files/folder.ts';
import type { GuardianTask } from './guardian.ts';
import { handBack, readWorkload } from './hand-back.ts';
import { newIdentity, whoIs } from './identity.ts';
import { forgetCommand } from './left-commands.ts';
import { endProcess, type ProcessMark } from './process-mark.ts';
import { privateFolder, removeSessionRecord, stateFolder } from './state-files.ts';

/** The guardian gives up after this long; the next `intercept` in the namespace restores then. */
const GIVE_UP_AFTER_MS = 30 * 60_000;
/** … or after this long when the API server refuses its user, as it does once the namespace and its rights are deleted. */
const GIVE_UP_REFUSED_AFTER_MS = 60_000;
/** A command that ignores SIGTERM for this long is killed: nobody is left at its terminal to do it. */
const COMMAND_ENDS_MS = 10_000;
/** Sessions that have lost their tunnels are given up by the agents after 30 s. */
const LOOK_AGAIN_MS = 5_000;

/** What the guardian does for a session that is gone: ends its command, restores its workload, removes its files. */
export async function takeOver(task: GuardianTask, command: ProcessMark | undefined): Promise<void> {
  const commandEnded =
    command === undefined
      ? undefined
      : endProcess(command, COMMAND_ENDS_MS).then(() => forgetCommand(task.sessionId).catch(() => {})); // a read-only folder
  // Once nobody reads them any more.
  const filesRemoved = (commandEnded ?? Promise.resolve())
    .then(() => removeSessionFiles(task.sessionId))
    .catch(() => {}); // the next run
  if (task.envFile !== undefined) await removeEnvFile(task.envFile, task.sessionId).catch(() => {}); // a read-only folder
  await privateFolder(stateFolder());
  const file = join(stateFolder(), 'guardian.log');
  const lines: string[] = [];
  const log = createLog('debug', jsonLines({ write: (line) => lines.push(line) }));
  log.info('session is gone, restoring', {
    workload: `${task.workloadKind}/${task.workloadName}`,
    namespace: task.namespace,
  });
  const giveUpAt = Date.now() + GIVE_UP_AFTER_MS;
  let refusedSince: number | undefined;
  const isOver = (): boolean =>
    Date.now() > giveUpAt || (refusedSince !== undefined && Date.now() > refusedSince + GIVE_UP_REFUSED_AFTER_MS);
  for (let attempt = 0; !isOver(); attempt++) {
    try {
      if (await restoreFor(task, log)) break;
      refusedSince = undefined;
      await pause(LOOK_AGAIN_MS, new AbortController().signal);
    } catch (error) {
      refusedSince = isRefused(error) ? (refusedSince ?? Date.now()) : undefined;
      log.warn('restore failed, trying again', {
        workload: `${task.workloadKind}/${task.workloadName}`,
        reason: errorText(error),
      });
      await pause(backoffMs(attempt), new AbortController().signal);
    }
  }
  await Promise.all([commandEnded, filesRemoved]);
  await removeSessionRecord(task);
  await appendFile(file, lines.join(''), { mode: 0o600 });
}

function isRefused(error: unknown): boolean {
  const cause = error instanceof InterceptorError && error.code === 'RESTORE_INCOMPLETE' ? error.cause : error;
  return cause instanceof InterceptorError && ['CLUSTER_UNAUTHORIZED', 'CLUSTER_FORBIDDEN'].includes(cause.code);
}

/** @returns false: to be tried again, when it is known whether others still use the agent */
async function restoreFor(task: GuardianTask, log: ReturnType<typeof createLog>): Promise<boolean> {
  const access = await loadKubeConfig({ kubeconfig: task.kubeconfig, context: task.context });
  await using client = await KubeClient.connect(access);
  if (task.workloadKind === 'Pod') {
    await removeOwnPodNamed(client, task.namespace, task.workloadName);
    return true;
  }
  if (!isWorkloadKind(task.workloadKind)) return true; // a newer version's: restored by the next run of that
  const ref = { kind: task.workloadKind, namespace: task.namespace, name: task.workloadName };
  const workload = await readWorkload(client, ref);
  if (workload !== undefined && workload.metadata.uid !== task.workloadUid) {
    await rescueServices(client, ref, undefined); // the workload was made anew by somebody else, its Services were not
    return true;
  }
  const identity = newIdentity();
  if (workload !== undefined) await endOnAgents(client, workload, task.sessionId, identity, log);
  const outcome = await handBack({
    client,
    ref,
    identity,
    ownSessions: [task.sessionId, identity.sessionId],
    keepAgent: task.keepAgent,
    over: task.installId,
    takesOut: 'unused',
    report: (event) =>
      log.info(event.event, { workload: workloadText(ref), step: 'step' in event ? event.step : undefined }),
    log,
  });
  return outcome !== 'unsure';
}

/** Agents wait for a laptop that may be back: that this one is not, callers whose requests it had are told at once. */
async function endOnAgents(
  client: KubeClient,
  workload: Workload,
  sessionId: string,
  identity: SessionIdentity,
  log: Log,
): Promise<void> {
  const install = readInstall(workload);
  if (install.state !== 'installed') return;
  const params = { by: whoIs(identity), sessionIds: [sessionId] };
  await askAgents(client, workload, install.record, identity, { method: 'evict', params }, log);
}
