import { makeClassifier } from '../../src/dns/classify.ts';
import type { Log } from '../../src/log.ts';
import type { PodNetwork } from '../../src/protocol/control.ts';
import type { KubeClient } from '../kube/client.ts';
import { AgentUpstream } from '../network/dns/agent-upstream.ts';
import { LaptopUpstream } from '../network/dns/laptop-upstream.ts';
import { PodResolver } from '../network/dns/resolver.ts';
import type { Upstream } from '../network/dns/upstream.ts';
import { AddressRanges } from '../network/egress/address-ranges.ts';
import { findClusterRanges } from '../network/egress/cluster-ranges.ts';
import { directEgress } from '../network/egress/direct.ts';
import { createEgress } from '../network/egress/egress.ts';
import { HostGlobs } from '../network/egress/host-globs.ts';
import { addressLiteral } from '../network/egress/policy.ts';
import type { Egress, Resolver } from '../network/types.ts';
import type { Agents } from './agents.ts';
import { Peers } from './direct/peers.ts';
import { clusterIdentity } from './direct/record.ts';

export interface ClusterWayOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly agents: Agents;
  readonly podNetwork: PodNetwork;
  readonly podVariables: Readonly<Record<string, string>>;
  /** Whether Services that other sessions of this user have are called directly. */
  readonly direct: boolean;
  readonly egress: 'pod' | 'cluster';
  readonly localHosts: readonly string[];
  readonly localCidrs: readonly string[];
  readonly dnsLocal: readonly string[];
  readonly dnsCluster: readonly string[];
  /** Who is asked for names that the cluster does not know; the laptop's own resolver unless given. */
  readonly laptop?: Upstream;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Names and connections as the pod has them, over the tunnels of a session. */
export interface ClusterWay {
  readonly resolver: Resolver;
  readonly egress: Egress;
  close(): Promise<void>;
}

/**
 * Makes the resolver and the ways out of one session. Both outlive a lost tunnel and go on over the next one.
 * @throws InterceptorError USAGE_BAD_OPTION (a range or glob), CLUSTER_*; the signal's reason
 */
export async function openClusterWay(options: ClusterWayOptions): Promise<ClusterWay> {
  const { client, namespace, agents, podNetwork, podVariables, signal, log } = options;
  const { search, ndots, addresses } = podNetwork;
  const serviceAddress = podVariables.KUBERNETES_SERVICE_HOST;
  const localRanges = new AddressRanges(options.localCidrs);
  const localHosts = new HostGlobs(options.localHosts, search);
  const clusterRanges = new AddressRanges(
    await findClusterRanges({
      client,
      namespace,
      podAddresses: addresses,
      serviceAddresses: serviceAddress === undefined ? [] : [serviceAddress],
      signal,
    }),
  );
  const untilTunnel = (until: AbortSignal): Promise<unknown> => agents.untilConnected(until);
  const cluster = new AgentUpstream({ tunnel: () => agents.exit?.mux, untilTunnel });
  const resolver = new PodResolver({
    search,
    ndots,
    cluster,
    laptop: options.laptop ?? new LaptopUpstream(),
    laptopSuffixes: options.dnsLocal,
    clusterSuffixes: options.dnsCluster,
    laptopNames: (name) => localHosts.namesOf(name),
    inClusterRange: (address) => clusterRanges.has(address),
    log,
  });
  const routeOf = makeClassifier({
    search,
    laptopSuffixes: options.dnsLocal,
    clusterSuffixes: options.dnsCluster,
    isClusterAddress: (address) => clusterRanges.has(address),
  });
  const throughPod = createEgress({
    tunnel: () => agents.exit,
    untilTunnel,
    resolver,
    policy: {
      egress: options.egress,
      localHosts,
      localRanges,
      clusterRanges,
      isClusterName: (name) => routeOf(name) === 'cluster',
      originOf: (address) => resolver.originOf(address),
    },
  });
  const peers = options.direct
    ? new Peers({ cluster: clusterIdentity(client.access), namespace, search, log })
    : undefined;
  const direct =
    peers === undefined
      ? undefined
      : directEgress(throughPod, {
          targets: peers,
          isLaptops: (host) => localHosts.has(host) || localRanges.has(addressLiteral(host) ?? ''),
          log,
        });
  return {
    resolver,
    egress: direct ?? throughPod,
    close: async () => {
      resolver.close();
      cluster.close();
      await direct?.close();
      await peers?.close();
    },
  };
}
