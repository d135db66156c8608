import type { Answer, Question } from 'dns-packet';
import { CLUSTER_DOMAIN } from './layout.ts';

const TTL_SECONDS = 5;

export interface ServiceObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly externalName?: string;
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
  };
}

interface EndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
}

export interface EndpointsObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly subsets?: readonly {
    readonly addresses?: readonly EndpointAddress[];
    readonly ports?: readonly { readonly name?: string; readonly port: number; readonly protocol?: string }[];
  }[];
}

/** What is known of the cluster, by "namespace/name". */
export interface ClusterNames {
  readonly services: ReadonlyMap<string, ServiceObject>;
  readonly endpoints: ReadonlyMap<string, EndpointsObject>;
}

export type Reply = { readonly code: 'NXDOMAIN' } | { readonly code: 'NOERROR'; readonly answers: readonly Answer[] };

const NXDOMAIN: Reply = { code: 'NXDOMAIN' };
const NODATA: Reply = { code: 'NOERROR', answers: [] };

/** Answers one question by the Kubernetes DNS specification 1.1.0; there is no upstream, so other names do not exist. */
export function resolveQuestion(question: Question, names: ClusterNames): Reply {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  if (name.endsWith('.in-addr.arpa')) return reverse(question, name, names);
  if (name === `dns-version.${CLUSTER_DOMAIN}`) {
    return question.type === 'TXT'
      ? found({ type: 'TXT', name: question.name, data: '1.1.0', ttl: TTL_SECONDS })
      : NODATA;
  }
  if (name === CLUSTER_DOMAIN) return NODATA;
  if (!name.endsWith(`.${CLUSTER_DOMAIN}`)) return NXDOMAIN;
  const labels = name.slice(0, -CLUSTER_DOMAIN.length - 1).split('.');
  const kind = labels.pop();
  const namespace = labels.pop();
  if (kind === 'pod') return pod(question, labels, namespace);
  if (kind !== 'svc') return NXDOMAIN;
  if (namespace === undefined) return NODATA;
  const service = labels.pop();
  if (service === undefined) return hasNamespace(names, namespace) ? NODATA : NXDOMAIN;
  const object = names.services.get(`${namespace}/${service}`);
  if (object === undefined) return NXDOMAIN;
  if (object.spec.type === 'ExternalName') return labels.length === 0 ? external(question, object, names) : NXDOMAIN;
  const [first, second] = labels;
  if (labels.length === 0) return addresses(question, targets(object, names));
  if (labels.length === 1 && first?.startsWith('_') === false) return endpoint(question, object, names, first);
  if (labels.length === 2 && first?.startsWith('_') && second?.startsWith('_')) {
    return servicePort(question, object, names, first.slice(1), second.slice(1));
  }
  return NXDOMAIN;
}

function isHeadless(service: ServiceObject): boolean {
  return service.spec.clusterIP === 'None';
}

function hasNamespace(names: ClusterNames, namespace: string): boolean {
  return [...names.services.values()].some((service) => service.metadata.namespace === namespace);
}

function readyAddresses(service: ServiceObject, names: ClusterNames): EndpointAddress[] {
  const key = `${service.metadata.namespace}/${service.metadata.name}`;
  return (names.endpoints.get(key)?.subsets ?? []).flatMap((subset) => subset.addresses ?? []);
}

function targets(service: ServiceObject, names: ClusterNames): string[] {
  if (isHeadless(service)) return [...new Set(readyAddresses(service, names).map(({ ip }) => ip))];
  return service.spec.clusterIP ? [service.spec.clusterIP] : [];
}

function addresses(question: Question, ips: readonly string[]): Reply {
  if (ips.length === 0) return NXDOMAIN; // as CoreDNS: a headless Service without ready pods
  if (question.type !== 'A') return NODATA;
  return found(...ips.map((data): Answer => ({ type: 'A', name: question.name, data, ttl: TTL_SECONDS })));
}

function hostLabel(address: EndpointAddress): string {
  return address.hostname ?? address.ip.replaceAll('.', '-');
}

function endpoint(question: Question, service: ServiceObject, names: ClusterNames, host: string): Reply {
  if (!isHeadless(service)) return NXDOMAIN;
  const matching = readyAddresses(service, names).filter((address) => hostLabel(address) === host);
  return addresses(question, [...new Set(matching.map(({ ip }) => ip))]);
}

function servicePort(
  question: Question,
  service: ServiceObject,
  names: ClusterNames,
  port: string,
  protocol: string,
): Reply {
  const matches = (candidate: { name?: string; protocol?: string }) =>
    candidate.name === port && (candidate.protocol ?? 'TCP').toLowerCase() === protocol;
  const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${CLUSTER_DOMAIN}`;
  const record = (target: string, number: number): Answer => ({
    type: 'SRV',
    name: question.name,
    ttl: TTL_SECONDS,
    data: { target, port: number, priority: 0, weight: 100 },
  });
  const subsets = names.endpoints.get(`${service.metadata.namespace}/${service.metadata.name}`)?.subsets ?? [];
  const records = isHeadless(service)
    ? subsets.flatMap((subset) =>
        (subset.ports ?? [])
          .filter(matches)
          .flatMap((found) =>
            (subset.addresses ?? []).map((address) => record(`${hostLabel(address)}.${base}`, found.port)),
          ),
      )
    : (service.spec.ports ?? []).filter(matches).map((found) => record(base, found.port));
  if (records.length === 0) return NXDOMAIN;
  return question.type === 'SRV' ? found(...records) : NODATA;
}

function external(question: Question, service: ServiceObject, names: ClusterNames): Reply {
  const target = service.spec.externalName ?? '';
  const alias: Answer = { type: 'CNAME', name: question.name, data: target, ttl: TTL_SECONDS };
  const behind = resolveQuestion({ ...question, name: target }, names);
  return found(alias, ...(behind.code === 'NOERROR' ? behind.answers : []));
}

function pod(question: Question, labels: readonly string[], namespace: string | undefined): Reply {
  if (namespace === undefined || labels.length === 0) return NODATA;
  const [host = ''] = labels;
  if (labels.length !== 1 || !/^\d+-\d+-\d+-\d+$/.test(host)) return NXDOMAIN;
  return addresses(question, [host.replaceAll('-', '.')]);
}

function reverse(question: Question, name: string, names: ClusterNames): Reply {
  const ip = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().join('.');
  const records: string[] = [];
  for (const service of names.services.values()) {
    const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${CLUSTER_DOMAIN}`;
    if (service.spec.clusterIP === ip) records.push(base);
    if (!isHeadless(service)) continue;
    for (const address of readyAddresses(service, names))
      if (address.ip === ip) records.push(`${hostLabel(address)}.${base}`);
  }
  if (records.length === 0) return NXDOMAIN;
  if (question.type !== 'PTR') return NODATA;
  return found(...records.map((data): Answer => ({ type: 'PTR', name: question.name, data, ttl: TTL_SECONDS })));
}

function found(...answers: Answer[]): Reply {
  return { code: 'NOERROR', answers };
}
