import type { ClusterOptions } from '../common-options.ts';
import { KubeClient } from '../kube/client.ts';
import { type FoundInstall, findInstalls } from '../kube/inventory.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { isPodReady, type Pod, workloadText } from '../kube/objects.ts';
import { listOwnPods } from '../kube/own-pod.ts';
import { type InstallMode, type InstallRecord, recordServices } from '../kube/record.ts';
import { namespaceMayExist, noSuchNamespace } from '../kube/target.ts';
import { askAgents, askPods } from '../session/ask-agent.ts';
import { readWorkload } from '../session/hand-back.ts';
import { newIdentity, whoIs } from '../session/identity.ts';
import { laptopLog } from '../ui/laptop-log.ts';
import { formatAge, formatTable } from '../ui/table.ts';
import { shownFilter } from './filter-text.ts';
import { interceptsOf, type ListedIntercept } from './list-intercepts.ts';

export interface ListOptions extends ClusterOptions {
  readonly allNamespaces?: boolean;
  readonly json?: boolean;
  readonly debug?: boolean;
}

interface Row {
  readonly namespace: string;
  readonly workload: string;
  readonly services: readonly string[];
  /** How callers come to the agent. */
  readonly mode: InstallMode['kind'] | null;
  readonly intercepts: readonly ListedIntercept[];
  /** user@host of each session the agents know. */
  readonly holders: readonly string[];
  /** `in use`: a session stands inside by the agent, or in the place of a worker, and takes no traffic. */
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
  const header = ['workload', 'service', 'port', 'state', 'takes', 'held by', 'age', 'last used'];
  const lines = rows.flatMap((row) => linesOf(row).map((line) => (withNamespace ? [row.namespace, ...line] : line)));
  return formatTable(withNamespace ? ['namespace', ...header] : header, lines);
}

/** One line for each intercept; one for a workload that has none. */
export function linesOf(row: Row): string[][] {
  const { workload, services, state, intercepts, holders, mode } = row;
  const place = mode === 'replace' && holders.length > 0 ? 'the place of the app' : '-';
  if (intercepts.length === 0)
    return [
      [
        workload,
        services.join(',') || '-',
        '-',
        state,
        place,
        [...new Set(holders)].join(',') || '-',
        age(row.since),
        '-',
      ],
    ];
  return intercepts.map((intercept) => [
    workload,
    intercept.services.join(',') || '-',
    `${intercept.ports.join(',') || intercept.appPort}${intercept.protocol === 'udp' ? '/udp' : ''}`,
    intercept.connected ? state : intercept.reconnecting ? 'laptop away' : 'laptop gone',
    takes(intercept, mode),
    intercept.holder,
    age(intercept.since),
    intercept.open > 0 ? 'now' : age(intercept.lastActivity),
  ]);
}

function takes({ filter, mirror }: ListedIntercept, mode: Row['mode']): string {
  const what = filter === null ? 'everything' : shownFilter(filter);
  if (mirror) return `copies of ${what}`;
  return mode === 'replace' ? `${what}, in place of the app` : what;
}

function age(time: string | null): string {
  return time === null ? '-' : formatAge(Date.now() - Date.parse(time));
}

function usedAs(holders: number, intercepts: number): Row['state'] {
  if (holders === 0) return 'agent only';
  return intercepts === 0 ? 'in use' : 'intercepted';
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
    services: [],
    mode: null,
    intercepts: [],
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
      services: found.retargetedService === undefined ? [] : [found.retargetedService],
      mode: null,
      intercepts: [],
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
  const sinceMs = Math.min(...[...holders.values()].map((holder) => holder.sinceMs));
  const intercepts = interceptsOf(record, statuses);
  return {
    ...base,
    services: recordServices(record),
    mode: record.mode.kind,
    intercepts,
    holders: [...holders.values()].map(whoIs),
    state: install.state === 'restoring' ? 'restoring' : usedAs(holders.size, intercepts.length),
    since: holders.size > 0 ? new Date(sinceMs).toISOString() : record.createdAt,
    installedBy: whoIs(record.createdBy),
  };
}
