import { createLog, jsonLines, type Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { KubeClient } from '../kube/client.ts';
import type { KubeAccess } from '../kube/kubeconfig-types.ts';
import type { Report } from '../ui/events.ts';
import { pause } from './backoff.ts';
import { newIdentity } from './identity.ts';
import { recoverAbandoned } from './recover.ts';

/** With the 30 s after which an agent without a session is left behind: everything within a minute. */
export const LOOK_EVERY_MS = 10_000;

export interface JanitorOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly identity: SessionIdentity;
  readonly report: Report;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
}

/**
 * Looks again and again for what nobody owns any more in a namespace, and restores it. A restore that takes long, as its rollout
 * does not come to an end, holds up no other. Returns once the signal is given and what was begun has stopped.
 */
export async function runJanitor(options: JanitorOptions): Promise<void> {
  const { client, namespace, identity, report, log, signal, everyMs = LOOK_EVERY_MS } = options;
  const busy = new Set<string>();
  const tasks = new TaskGroup();
  while (!signal.aborted) {
    tasks.add(
      recoverAbandoned(client, namespace, undefined, { identity, report, log, signal, busy, sweeps: true }).then(
        () => {},
      ),
    );
    await pause(everyMs, signal);
  }
  await tasks.close();
}

/** Runs the janitor with a log of JSON lines on stdout, in the namespace of the access, until SIGTERM or SIGINT. */
export async function cleanUpFor(access: KubeAccess): Promise<void> {
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => ending.abort(new Error(signal)));
  const log = createLog('info', jsonLines(process.stdout));
  const { namespace } = access;
  await using client = await KubeClient.connect(access);
  log.info('janitor started', { namespace });
  await runJanitor({
    client,
    namespace,
    identity: { ...newIdentity(), user: 'janitor' },
    signal: ending.signal,
    log,
    report: (event) => {
      if (event.event === 'recovered') log.info('restored', { object: event.workload, namespace });
      if (event.event === 'kept') log.info('kept what others have changed', { object: event.object });
    },
  });
}
