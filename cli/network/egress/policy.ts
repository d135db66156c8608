import { isIP } from 'node:net';
import { isUnder } from '../../../src/dns/names.ts';
import type { LookedUp } from '../types.ts';
import { type AddressRanges, isLoopback } from './address-ranges.ts';
import type { HostGlobs } from './host-globs.ts';

/** Where connections leave from. */
export type Way = 'pod' | 'laptop';

export interface EgressPolicy {
  /** pod: all but loopback and what only the laptop knows. cluster: only the cluster's names and ranges. */
  readonly egress: 'pod' | 'cluster';
  readonly localHosts: HostGlobs;
  readonly localRanges: AddressRanges;
  /** Service and pod addresses. */
  readonly clusterRanges: AddressRanges;
  /** Whether a name is under the cluster's domain or the pod's search list. */
  readonly isClusterName: (name: string) => boolean;
  /** Who an address was learned from. */
  readonly originOf: (address: string) => 'cluster' | 'laptop' | undefined;
}

/** A name of the laptop's own, which is not looked up anywhere (RFC 6761 §6.3). */
export function isLocalhost(name: string): boolean {
  return isUnder(name, 'localhost');
}

/**
 * The way a name decides by itself.
 * @returns undefined: its addresses decide
 */
export function wayOfName(name: string, policy: EgressPolicy): Way | undefined {
  const plain = name.toLowerCase().replace(/\.$/, '');
  if (isLocalhost(plain) || policy.localHosts.has(plain)) return 'laptop';
  if (policy.isClusterName(plain)) return 'pod';
  return undefined;
}

/**
 * The way to an address.
 * @param learned what a lookup just said of it; else what the resolver remembers
 */
export function wayOfAddress(address: string, policy: EgressPolicy, learned?: 'cluster' | 'laptop'): Way {
  if (isLoopback(address) || policy.localHosts.has(address) || policy.localRanges.has(address)) return 'laptop';
  const origin = learned ?? policy.originOf(address);
  if (origin === 'laptop') return 'laptop';
  if (policy.egress === 'pod' || policy.clusterRanges.has(address)) return 'pod';
  return 'laptop';
}

/**
 * The way to an address that a lookup of a name has told. `--local-cidr` counts for the cluster's names, too: who connects
 * to the address itself cannot be told from who connects by the name.
 */
export function wayOfFound(name: string, { address, origin }: LookedUp, policy: EgressPolicy): Way {
  const byName = wayOfName(name, policy);
  if (byName === 'pod' && policy.localRanges.has(address)) return 'laptop';
  return byName ?? wayOfAddress(address, policy, origin);
}

/** A literal as sockets take it: without the brackets of URLs and without a zone. */
export function addressLiteral(host: string): string | undefined {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  const plain = bare.replace(/%.*$/, '');
  return isIP(plain) === 0 ? undefined : plain;
}
