import type { KubeObject } from '../../kube/client.ts';
import type { Service } from '../../kube/objects.ts';

export interface StandingPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** '' for none */
  readonly name: string;
}

/** One address in the cluster that gets a loopback address here: a Service, or one pod of a headless Service. */
export interface Standing {
  /** `shop/api`, `shop/db/db-0` */
  readonly key: string;
  /** The Service it belongs to: `shop/api`. */
  readonly service: string;
  /** The pod's label in front of the Service's name; undefined for the Service itself. */
  readonly pod: string | undefined;
  /** The address in the cluster. */
  readonly host: string;
  readonly ports: readonly StandingPort[];
}

/** v1 Endpoints, as far as we read them. */
export interface Endpoints extends KubeObject {
  subsets?: readonly {
    readonly addresses?: readonly { readonly ip: string; readonly hostname?: string }[];
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
  }[];
}

/** `shop/api` of an object */
export function objectKey(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === 'None';
}

/**
 * What of a Service can be dialled. ExternalName Services have nothing: their names are the resolver's.
 * @param endpoints of the same name; only headless Services are read from them
 */
export function standingsOf(service: Service, endpoints: Endpoints | undefined): readonly Standing[] {
  const key = objectKey(service);
  const { clusterIP } = service.spec;
  if (service.spec.type === 'ExternalName' || clusterIP === undefined || clusterIP === '') return [];
  if (!isHeadless(service))
    return [{ key, service: key, pod: undefined, host: clusterIP, ports: portsOf(service.spec.ports) }];
  const byPod = new Map<string, Standing>();
  for (const subset of endpoints?.subsets ?? []) {
    const ports = portsOf(subset.ports);
    for (const { ip, hostname } of subset.addresses ?? []) {
      const pod = hostname ?? ip.replaceAll(/[.:]/g, '-'); // as the cluster's DNS names them
      const before = byPod.get(pod);
      const all = [...(before?.ports ?? []), ...ports];
      byPod.set(pod, { key: `${key}/${pod}`, service: key, pod, host: ip, ports: all });
    }
  }
  return [...byPod.values()];
}

function portsOf(
  ports: readonly { name?: string; port: number; protocol?: string }[] | undefined,
): readonly StandingPort[] {
  return (ports ?? []).flatMap(({ name = '', port, protocol = 'TCP' }): StandingPort[] => {
    if (protocol !== 'TCP' && protocol !== 'UDP') return []; // SCTP
    return [{ protocol: protocol === 'TCP' ? 'tcp' : 'udp', port, name }];
  });
}
