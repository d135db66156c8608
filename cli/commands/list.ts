import type { AgentStatus } from '../../src/protocol/control.ts';
import { KubeClient } from '../kube/client.ts';
import { type FoundInstall, findInstalls } from '../kube/inventory.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { isPodReady, type Pod, workloadText } from '../kube/objects.ts';
import { listOwnPods } from '../kube/own-pod.ts';
import type { InstallRecord } from '../kube/record.ts';
import { recordServices } from '../kube/record.ts';
import { namespaceMayExist, noSuchNamespace } from '../kube/target.ts';
import type { ClusterOptions } from '../program.ts';
import { askAgents, askPods } from '../session/ask-agent.ts';
import { readWorkload } from '../session/hand-back.ts';
import { newIdentity, whoIs } from '../session/identity.ts';
import { laptopLog } from '../ui/laptop-log.ts';
import { formatAge, formatTable } from '../ui/table.ts';

export interface ListOptions extends ClusterOptions {
  readonly allNamespaces?: boolean;
  readonly json?: boolean;
  readonly debug?: boolean;
}

interface Row {
  readonly namespace: string;
  readonly workload: string;
  readonly service: string | null;
  /** Of the Service: those that are claimed, or all that go through the agent where none is. */
  readonly ports: readonly number[];
  readonly claims: readonly Claim[];
  /** user@host of each session the agents know. */
  readonly holders: readonly string[];
  /** `in use`: a session stands inside by the agent and takes no traffic. */
  readonly state:
    | 'own pod'
    | 'ending'
    | 'in use'
    | 'intercepted'
    | 'agent only'
    | 'restoring'
    | 'unreadable'
    | 'not restored';
  readonly since: string | null;
  readonly installedBy: string | null;
}

/** Who holds which port of the Service. */
interface Claim {
  readonly port: number;
  readonly holder: string;
}

/** `intercept list`: what the cluster says of intercepted workloads and their holders. @returns the exit code */
export async function list(options: ListOptions): Promise<number> {
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.allNamespaces === true ? undefined : (options.namespace ?? access.namespace);
  const [installs, ownPods] = await Promise.all([findInstalls(client, namespace), listOwnPods(client, namespace)]);
  if (
    installs.length === 0 &&
    ownPods.length === 0 &&
    namespace !== undefined &&
    !(await namespaceMayExist(client, { namespace }))
  )
    throw noSuchNamespace(namespace);
  const rows = await Promise.all([
    ...installs.map((install) => describeInstall(client, install, options.debug === true)),
    ...ownPods.map((own) => describeOwnPod(client, own, options.debug === true)),
  ]);
  if (options.json === true) process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
  else if (rows.length === 0) process.stdout.write(`nothing is intercepted in ${namespace ?? 'any namespace'}\n`);
  else process.stdout.write(formatRows(rows, options.allNamespaces === true));
  return 0;
}

function formatRows(rows: readonly Row[], withNamespace: boolean): string {
  const header = ['workload', 'service', 'ports', 'state', 'held by', 'age'];
  const cells = rows.map((row) => [
    row.workload,
    row.service ?? '-',
    row.ports.join(',') || '-',
    row.state,
    heldBy(row),
    row.since === null ? '-' : formatAge(Date.now() - Date.parse(row.since)),
  ]);
  if (!withNamespace) return formatTable(header, cells);
  return formatTable(
    ['namespace', ...header],
    cells.map((line, index) => [rows[index]?.namespace ?? '', ...line]),
  );
}

/** `ann@laptop`; with the ports where several hold some: `80 ann@laptop, 81,82 bob@box`. */
export function heldBy({ holders, claims }: Pick<Row, 'holders' | 'claims'>): string {
  if (holders.length === 0) return '-';
  const names = [...new Set(holders)];
  if (holders.length === 1 || claims.length === 0) return names.join(', ');
  return names
    .map((name) => `${claims.flatMap(({ port, holder }) => (holder === name ? [port] : [])).join(',')} ${name}`.trim())
    .join(', ');
}

/** The claims on the ports of the Service, each once however many pods tell of it. */
export function claimsOf(record: Pick<InstallRecord, 'routes'>, statuses: readonly AgentStatus[]): Claim[] {
  const claims = record.routes.flatMap(({ appPort, servicePorts }) =>
    statuses.flatMap(({ intercepts, sessions }) =>
      intercepts
        .filter((intercept) => intercept.appPort === appPort)
        .flatMap((intercept) => {
          const holder = sessions.find(({ sessionId }) => sessionId === intercept.sessionId);
          return holder === undefined ? [] : servicePorts.map(({ port }) => ({ port, holder: whoIs(holder) }));
        }),
    ),
  );
  return [...new Map(claims.map((claim) => [`${claim.port} ${claim.holder}`, claim])).values()];
}

function usedAs(holders: number, claims: number): Row['state'] {
  if (holders === 0) return 'agent only';
  return claims === 0 ? 'in use' : 'intercepted';
}

/** A pod that a session without a workload has made. */
async function describeOwnPod(
  client: KubeClient,
  { pod, record }: { readonly pod: Pod; readonly record: InstallRecord | undefined },
  debug: boolean,
): Promise<Row> {
  const question = { method: 'status', params: {} } as const;
  const asked = record !== undefined && isPodReady(pod);
  const statuses = asked ? await askPods(client, [pod], record, newIdentity(), question, laptopLog(debug)) : [];
  const holders = statuses.flatMap(({ sessions }) => sessions);
  return {
    namespace: pod.metadata.namespace ?? '',
    workload: workloadText({ kind: 'Pod', name: pod.metadata.name }),
    service: null,
    ports: [],
    claims: [],
    holders: holders.map(whoIs),
    state: pod.metadata.deletionTimestamp === undefined ? 'own pod' : 'ending',
    since: pod.metadata.creationTimestamp ?? null,
    installedBy: record === undefined ? null : whoIs(record.createdBy),
  };
}

async function describeInstall(client: KubeClient, found: FoundInstall, debug: boolean): Promise<Row> {
  const { ref, install } = found;
  const base = { namespace: ref.namespace, workload: workloadText(ref) };
  if (install.state === 'none' || install.state === 'unreadable')
    return {
      ...base,
      service: found.retargetedService ?? null,
      ports: [],
      claims: [],
      holders: [],
      state: install.state === 'none' ? 'not restored' : 'unreadable',
      since: null,
      installedBy: null,
    };
  const { record } = install;
  const workload = install.state === 'installed' ? await readWorkload(client, ref) : undefined;
  const statuses =
    workload === undefined
      ? []
      : await askAgents(client, workload, record, newIdentity(), { method: 'status', params: {} }, laptopLog(debug));
  const holders = new Map(statuses.flatMap((status) => status.sessions).map((session) => [session.sessionId, session]));
  const claims = claimsOf(record, statuses);
  const claimed = [...new Set(claims.map(({ port }) => port))];
  const sinceMs = Math.min(...[...holders.values()].map((holder) => holder.sinceMs));
  return {
    ...base,
    service: recordServices(record)[0] ?? null,
    ports: claimed.length > 0 ? claimed : record.routes.flatMap((route) => route.servicePorts.map(({ port }) => port)),
    claims,
    holders: [...holders.values()].map(whoIs),
    state: install.state === 'restoring' ? 'restoring' : usedAs(holders.size, claims.length),
    since: holders.size > 0 ? new Date(sinceMs).toISOString() : record.createdAt,
    installedBy: whoIs(record.createdBy),
  };
}
