import { clusterDomain, withoutLastDot } from '../../../src/dns/names.ts';

/** Where a name was asked: a pod of this namespace, with these search domains. */
export interface NameScope {
  readonly namespace: string;
  readonly search: readonly string[];
}

/**
 * The Service that a name means in a pod: `api` (in its own namespace), `api.shop`, `api.shop.svc`,
 * `api.shop.svc.<cluster domain>`, with a last dot or without.
 * @returns undefined: no name of a Service, as far as the name tells
 */
export function serviceOfName(name: string, scope: NameScope): { name: string; namespace: string } | undefined {
  const plain = withoutLastDot(name.toLowerCase());
  const domain = clusterDomain(scope.search);
  const under = plain.endsWith(`.svc.${domain}`) ? plain.slice(0, -domain.length - 1) : plain;
  const [service = '', namespace, svc, ...more] = under.split('.');
  if (service === '' || more.length > 0 || (svc !== undefined && svc !== 'svc')) return undefined;
  if (namespace === undefined) return name.endsWith('.') ? undefined : { name: service, namespace: scope.namespace };
  return { name: service, namespace };
}
