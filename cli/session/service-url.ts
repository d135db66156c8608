import { isRecord } from '../../src/is-record.ts';
import type { Service } from '../kube/objects.ts';

/**
 * Where callers of a Service's port reach it: its address outside where it has one, else its name inside the cluster.
 * @returns a URL that ends with a slash
 */
export function serviceUrl(service: Service, namespace: string, port: number, scheme: 'http' | 'https'): string {
  const host = outsideHost(service) ?? `${service.metadata.name}.${namespace}`;
  const isDefault = port === (scheme === 'http' ? 80 : 443);
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}${isDefault ? '' : `:${port}`}/`;
}

/** Of a Service of type LoadBalancer. */
function outsideHost({ status }: Service): string | undefined {
  const balancer = isRecord(status) && isRecord(status.loadBalancer) ? status.loadBalancer : {};
  const [first]: unknown[] = Array.isArray(balancer.ingress) ? balancer.ingress : [];
  if (!isRecord(first)) return undefined;
  const { hostname, ip } = first;
  if (typeof hostname === 'string') return hostname;
  return typeof ip === 'string' ? ip : undefined;
}
