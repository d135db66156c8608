import { isIP } from 'node:net';
import { InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { PodNetwork } from '../../src/protocol/control.ts';
import type { KubeClient } from '../kube/client.ts';
import { ServersUpstream } from '../network/dns/laptop-upstream.ts';
import { listenToPod, type ToPodPort } from '../network/egress/to-pod.ts';
import { probeNamespace } from '../network/namespace/probe.ts';
import { startNamespace } from '../network/namespace/start.ts';
import { startProxyMode } from '../network/proxy/start.ts';
import { serversBefore } from '../network/system/before.ts';
import { startSystemMode } from '../network/system/start.ts';
import type { Inside } from '../network/types.ts';
import type { Report } from '../ui/events.ts';
import type { Agents } from './agents.ts';
import { type ClusterWay, openClusterWay } from './cluster-way.ts';
import type { CopiedFiles } from './files/types.ts';
import type { NetworkStatus } from './status.ts';

/** How the process gets to be inside the cluster, as asked for. */
export interface NetworkOptions {
  /** `system`: the whole laptop, for root. */
  readonly mode: 'auto' | 'namespace' | 'proxy' | 'system' | 'none';
  readonly egress: 'pod' | 'cluster';
  readonly localHosts: readonly string[];
  readonly localCidrs: readonly string[];
  readonly toPod: readonly ToPodPort[];
  readonly dnsLocal: readonly string[];
  readonly dnsCluster: readonly string[];
}

export interface NetworkStart extends NetworkOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Whether Services that other sessions of this user have are called directly. */
  readonly direct: boolean;
  /** Whether there is a command that can be put inside. */
  readonly command: boolean;
  /** The PATH that it gets. */
  readonly commandPath: string | undefined;
  readonly agents: Agents;
  readonly podNetwork: PodNetwork;
  /** The app's, for the addresses that it tells. */
  readonly podVariables: Readonly<Record<string, string>>;
  readonly files: CopiedFiles | undefined;
  readonly signal: AbortSignal;
  readonly report: Report;
  readonly log: Log;
}

/** The running way in. */
export interface Network {
  readonly inside: Inside;
  readonly status: NetworkStatus;
  /** The command having ended. May be called twice. */
  close(): Promise<void>;
}

/** What has been opened so far, closed last first. */
class Opened {
  readonly #closers: (() => Promise<void> | void)[] = [];

  add(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) await close();
  }
}

/**
 * Opens the ways out of the pod and puts the process inside, by the mode that was asked for or the best that works here.
 * @throws InterceptorError USAGE_BAD_OPTION, USAGE_BAD_PORT, and of a mode that was asked for by name what keeps it from
 * working; the signal's reason. Then nothing is left open.
 */
export async function startNetwork(options: NetworkStart): Promise<Network> {
  const opened = new Opened();
  try {
    const { toPod, agents, log, mode } = options;
    if (toPod.length > 0) {
      const way = { tunnel: () => agents.exit, untilTunnel: (signal: AbortSignal) => agents.untilConnected(signal) };
      const listening = await listenToPod(toPod, way, log);
      opened.add(() => listening.close());
    }
    const { inside, status } = mode === 'none' ? leftOutside() : await goInside(options, opened);
    return { inside, status, close: () => opened.close() };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Whether a command will have ports of its own: then the laptop's may be taken. Tries it, in about 70 ms. */
export async function givesOwnPorts(network: Pick<NetworkOptions, 'mode'> | undefined): Promise<boolean> {
  const may = network?.mode === 'auto' || network?.mode === 'namespace';
  return may && (await probeNamespace()).works;
}

/** Namespace mode where it works, else proxy mode; the one that was asked for must work. */
async function goInside(options: NetworkStart, opened: Opened): Promise<Pick<Network, 'inside' | 'status'>> {
  if (options.mode === 'system') return await bySystem(options, opened);
  const way = await openClusterWay(options);
  opened.add(() => way.close());
  if (options.mode === 'proxy' || !options.command) return await byProxy(options, way, opened);
  const probed = await probeNamespace();
  options.signal.throwIfAborted();
  if (probed.works) return await byNamespace(options, way, opened);
  if (options.mode === 'namespace')
    throw new InterceptorError('USAGE_BAD_OPTION', `--network namespace does not work here: ${probed.reason}`, {
      hint: 'or let the command use a proxy: --network proxy',
    });
  return await byProxy(options, way, opened, probed.reason);
}

async function byNamespace(
  { files, commandPath, report, log }: NetworkStart,
  { egress, resolver }: ClusterWay,
  opened: Opened,
): Promise<Pick<Network, 'inside' | 'status'>> {
  const mounts = (files?.roots ?? []).map((target) => ({ source: `${files?.root ?? ''}${target}`, target }));
  const warn = (message: string): void => report({ event: 'warning', message });
  const inside = await startNamespace({
    egress,
    resolver,
    mounts,
    log,
    onPortTaken: (address, port, code) => {
      const why = code === 'EACCES' ? 'needs more rights than you have' : 'somebody else has';
      warn(
        `the command listens on ${address}:${port}, which ${why} on this laptop: other programs here do not reach it`,
      );
    },
  });
  let closing = false;
  opened.add(() => {
    closing = true;
    return inside.close();
  });
  for (const message of inside.warnings) warn(message);
  void inside.ended.then((why) => {
    if (!closing) warn(`the command's network is lost: ${why}`);
  });
  const wrap: Inside['wrap'] = (argv, cwd) => inside.wrap(argv, cwd, commandPath);
  return { inside: { ...inside, wrap }, status: { mode: 'namespace' } };
}

async function bySystem(options: NetworkStart, opened: Opened): Promise<Pick<Network, 'inside' | 'status'>> {
  const { client, namespace, podNetwork, report, log, signal } = options;
  // The laptop's resolver will ask us: so we must not ask it, and the way to the API server must not lead through itself.
  const laptop = new ServersUpstream(() => serversBefore());
  const apiHost = new URL(client.access.server).hostname.replace(/^\[|\]$/g, '');
  const dnsLocal = isIP(apiHost) === 0 ? [...options.dnsLocal, apiHost] : options.dnsLocal;
  const localHosts = [...options.localHosts, apiHost];
  const way = await openClusterWay({ ...options, dnsLocal, localHosts, laptop });
  opened.add(() => way.close());
  const { resolver, egress } = way;
  const title = `connect -n ${namespace}`;
  const system = await startSystemMode({ client, namespace, egress, resolver, podNetwork, report, log, signal, title });
  opened.add(() => system.close());
  const { dnsAddress, resolverBy, services, allNamespaces } = system.facts;
  const scope = allNamespaces ? 'all namespaces' : `namespace ${namespace}`;
  return {
    ...leftOutside(),
    status: { mode: 'system', system: `${services} Services of ${scope}, names by ${dnsAddress} (${resolverBy})` },
  };
}

async function byProxy(
  { log }: NetworkStart,
  { egress, resolver }: ClusterWay,
  opened: Opened,
  reason?: string,
): Promise<Pick<Network, 'inside' | 'status'>> {
  // The command's own options for Node and Java are joined to these by commandEnvironment().
  const inside = await startProxyMode({ egress, resolver, environment: {}, log });
  opened.add(() => inside.close());
  const { address } = inside;
  return { inside, status: { mode: 'proxy', proxy: address, ...(reason === undefined ? {} : { reason }) } };
}

function leftOutside(): Pick<Network, 'inside' | 'status'> {
  const inside: Inside = { mode: 'none', variables: {}, wrap: (argv) => argv, close: async () => {} };
  return { inside, status: { mode: 'none' } };
}
