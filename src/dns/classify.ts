import { clusterDomain, isUnder } from './names.ts';
import { isPrivateAddress, reverseRange } from './reverse.ts';

/**
 * Who is asked. loopback: nobody, `localhost` is known (RFC 6761 §6.3). cluster-first: the laptop knows what the cluster
 * does not.
 */
export type NameRoute = 'loopback' | 'laptop' | 'cluster' | 'cluster-first';

export interface NameRules {
  /** The pod's search list. */
  readonly search: readonly string[];
  /** `--dns-local` and `--dns-cluster`: domains; they go before every other rule, the longer one before the shorter. */
  readonly laptopSuffixes: readonly string[];
  readonly clusterSuffixes: readonly string[];
  /** Whether an address is one of the cluster's: in its ranges, or learned from it. */
  readonly isClusterAddress: (address: string) => boolean;
}

/** Chooses who is asked about a name. */
export function makeClassifier(rules: NameRules): (name: string) => NameRoute {
  const { search, laptopSuffixes, clusterSuffixes, isClusterAddress } = rules;
  const chosen = [
    ...laptopSuffixes.map((suffix) => ({ suffix, route: 'laptop' as const })),
    ...clusterSuffixes.map((suffix) => ({ suffix, route: 'cluster' as const })),
  ].sort((a, b) => b.suffix.length - a.suffix.length);
  const ofCluster = [clusterDomain(search), ...search];
  return (name) => {
    const byUser = chosen.find(({ suffix }) => isUnder(name, suffix));
    if (byUser !== undefined) return byUser.route;
    if (isUnder(name, 'localhost')) return 'loopback';
    if (/^wpad(\.|$)/i.test(name)) return 'laptop'; // whoever answers it takes over the browser's proxy
    if (ofCluster.some((domain) => isUnder(name, domain))) return 'cluster';
    if (isUnder(name, 'local')) return 'laptop'; // multicast DNS
    return isPrivateReverse(name, isClusterAddress) ? 'laptop' : 'cluster-first';
  };
}

function isPrivateReverse(name: string, isClusterAddress: (address: string) => boolean): boolean {
  const range = reverseRange(name);
  if (range === undefined) return false;
  if (isClusterAddress(range.lowest)) return false;
  return isPrivateAddress(range.lowest) && isPrivateAddress(range.highest);
}
