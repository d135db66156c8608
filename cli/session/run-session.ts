import { letHeapGrow } from '../../src/heap-growth.ts';
import { atMost } from './backoff.ts';
import { listenControlSocket } from './control-socket.ts';
import { listenDirect } from './direct/listener.ts';
import { clusterIdentity, type DirectRecord } from './direct/record.ts';
import { Guardian } from './guardian.ts';
import type { HostRef } from './host.ts';
import { whoIs } from './identity.ts';
import { Leaving } from './leaving.ts';
import { deadSessions, recoverAbandoned, removeLeftEnvFiles } from './recover.ts';
import { Session, type SessionOptions } from './session.ts';
import {
  controlSocketPath,
  processStart,
  removeSessionRecord,
  type SessionRecord,
  writeSessionRecord,
} from './state-files.ts';

/** What is left behind by others and not restored this long after the session's end is left to the next run. */
const RECOVER_DEADLINE_MS = 10_000;

type StartedOptions = Omit<SessionOptions, 'leaving' | 'guardian' | 'replaces'>;

/** How the session was asked for: for its record and its guardian. */
export interface SessionOrigin {
  readonly target: string;
  /** Absolute path of --kubeconfig. */
  readonly kubeconfig: string | undefined;
  /** The workload's uid; of a pod of the session's own, which is not there yet, ''. */
  readonly workloadUid: string;
  readonly keepAgent: boolean;
}

/**
 * Runs a session with all that stands around it on the laptop: guardian, record, control socket, signals.
 * @returns the exit code
 * @throws as Session.run()
 */
export async function runSession(options: StartedOptions, origin: SessionOrigin): Promise<number> {
  letHeapGrow();
  const { client, identity, host, report, log } = options;
  const { ref } = host;
  const dead = (await deadSessions()).filter((gone) => sameWorkload(gone, ref, client.access.server));
  await removeLeftEnvFiles();
  const record = await makeRecord(options, origin);
  const leaving = new Leaving();
  const stopSignals = leaving.handleSignals(log);
  const guardian = Guardian.start({
    sessionId: identity.sessionId,
    kubeconfig: origin.kubeconfig,
    context: record.context,
    namespace: ref.namespace,
    workloadKind: ref.kind,
    workloadName: ref.name,
    workloadUid: origin.workloadUid,
    installId: host.installId,
    keepAgent: origin.keepAgent,
    socket: record.socket,
    direct: record.direct,
    envFile: record.envFile,
  });
  const replaces = dead.map(({ sessionId }) => sessionId);
  const session = new Session({ ...options, replaces, leaving, guardian });
  await writeSessionRecord(record);
  const control = await listenControlSocket(record.socket, async (asked) => {
    if (asked.method === 'leave') leaving.ask({ reason: asked.by, exitCode: 0 });
    return asked.method === 'status' ? await session.askStatus() : session.status;
  });
  const direct =
    record.direct === undefined
      ? undefined
      : await listenDirect(
          record.direct.socket,
          (stream, info) => {
            if (session.isReady) options.traffic?.take(stream, info);
            else stream.refuse('gone');
          },
          log,
        );
  // Only once the traffic has moved: what somebody else left behind must not slow this start.
  const recovering = new AbortController();
  const { signal } = recovering;
  const recovered = session.started.then(() =>
    recoverAbandoned(client, ref.namespace, ref, { identity, report, log, signal }),
  );
  try {
    return await session.run();
  } finally {
    await atMost(recovered, RECOVER_DEADLINE_MS, leaving.forced);
    recovering.abort(new Error('the session has ended')); // what waits for a rollout would keep the program from ending
    await direct?.close();
    await control.close();
    for (const gone of [...dead, record]) await removeSessionRecord(gone);
    stopSignals();
  }
}

async function makeRecord(options: StartedOptions, origin: SessionOrigin): Promise<SessionRecord> {
  const { client, identity, host, traffic, envFile } = options;
  return {
    sessionId: identity.sessionId,
    pid: process.pid,
    processStart: await processStart(process.pid),
    startedAtMs: Date.now(),
    context: client.access.contextName,
    kubeconfig: origin.kubeconfig,
    server: client.access.server,
    namespace: host.ref.namespace,
    target: origin.target,
    workloadKind: host.ref.kind,
    workloadName: host.ref.name,
    service: traffic?.describe.service,
    services: (traffic?.services ?? []).map(({ metadata, spec }) => ({
      name: metadata.name,
      addresses: spec.clusterIP === undefined || spec.clusterIP === 'None' ? [] : [spec.clusterIP],
    })),
    ports: traffic?.describe.ports ?? [],
    filter: traffic?.sharing.filter,
    mirror: traffic?.sharing.mirror === true,
    socket: await controlSocketPath(identity.sessionId),
    direct: await makeDirectRecord(options),
    envFile,
  };
}

/** Only a session that takes the callers of a Service and answers them can be called. */
async function makeDirectRecord({
  client,
  identity,
  traffic,
  direct,
}: StartedOptions): Promise<DirectRecord | undefined> {
  if (direct === false || traffic === undefined || traffic.sharing.mirror) return undefined;
  return {
    socket: await controlSocketPath(`${identity.sessionId}-d`),
    cluster: clusterIdentity(client.access),
    by: whoIs(identity),
    mark: traffic.sharing.mark,
  };
}

function sameWorkload(record: SessionRecord, ref: HostRef, server: string): boolean {
  return (
    record.server === server &&
    record.namespace === ref.namespace &&
    record.workloadKind === ref.kind &&
    record.workloadName === ref.name
  );
}
