import { KubeClient } from '../kube/client.ts';
import { type FoundInstall, findInstalls } from '../kube/inventory.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { workloadText } from '../kube/objects.ts';
import type { ClusterOptions } from '../program.ts';
import { askAgents } from '../session/ask-agent.ts';
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
  readonly ports: readonly number[];
  /** user@host of each session the agents know. */
  readonly holders: readonly string[];
  readonly state: 'intercepted' | 'agent only' | 'restoring' | 'unreadable' | 'not restored';
  readonly since: string | null;
  readonly installedBy: string | null;
}

/** `intercept list`: what the cluster says of intercepted workloads and their holders. @returns the exit code */
export async function list(options: ListOptions): Promise<number> {
  const access = await loadKubeConfig({ kubeconfig: options.kubeconfig, context: options.context });
  await using client = await KubeClient.connect(access);
  const namespace = options.allNamespaces === true ? undefined : (options.namespace ?? access.namespace);
  const installs = await findInstalls(client, namespace);
  const rows = await Promise.all(installs.map((install) => describeInstall(client, install, options.debug === true)));
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
    row.holders.join(', ') || '-',
    row.since === null ? '-' : formatAge(Date.now() - Date.parse(row.since)),
  ]);
  if (!withNamespace) return formatTable(header, cells);
  return formatTable(
    ['namespace', ...header],
    cells.map((line, index) => [rows[index]?.namespace ?? '', ...line]),
  );
}

async function describeInstall(client: KubeClient, found: FoundInstall, debug: boolean): Promise<Row> {
  const { ref, install } = found;
  const base = { namespace: ref.namespace, workload: workloadText(ref) };
  if (install.state === 'none' || install.state === 'unreadable')
    return {
      ...base,
      service: found.retargetedService ?? null,
      ports: [],
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
  return {
    ...base,
    service: record.service,
    ports: record.routes.flatMap((route) => route.servicePorts),
    holders: [...holders.values()].map(whoIs),
    state: install.state === 'restoring' ? 'restoring' : holders.size > 0 ? 'intercepted' : 'agent only',
    since: holders.size > 0 ? new Date(sinceMs).toISOString() : record.createdAt,
    installedBy: whoIs(record.createdBy),
  };
}
