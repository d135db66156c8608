import { clusterDomain, isUnder, nameFault } from '../../../src/dns/names.ts';
import type { ResolverWish } from './change.ts';

/** Goes into files, scripts and command lines of the system: nothing but what a domain is made of. */
const PLAIN = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/;

/**
 * What the laptop's resolver is told to ask us.
 * @param search the pod's
 * @param namespaces those there are; asked for as `svc.namespace`
 */
export function resolverWish(address: string, search: readonly string[], namespaces: readonly string[]): ResolverWish {
  const domain = clusterDomain(search);
  const plain = (name: string): boolean => PLAIN.test(name) && nameFault(name) === undefined;
  return {
    address,
    domains: [domain, 'svc', ...namespaces.filter(isNoTopLevelDomain)].filter(plain),
    // Not the domains of the nodes: short names of the laptop's own network are none of the cluster's.
    search: search.map((name) => name.toLowerCase()).filter((name) => isUnder(name, domain) && plain(name)),
  };
}

/**
 * A top-level domain is letters or begins with xn--. A namespace called `dev` or `shop` must not take one away from the
 * laptop: while our server is dead, all its names would be lost. `api.dev` is found by the search list there.
 */
function isNoTopLevelDomain(namespace: string): boolean {
  return /[0-9-]/.test(namespace) && !namespace.startsWith('xn--');
}
