import dnsPacket from 'dns-packet';
import { PodResolver, type ResolverOptions } from '../../../cli/network/dns/resolver.ts';
import type { Upstream } from '../../../cli/network/dns/upstream.ts';
import { silentLog } from '../../../src/log.ts';
import { NXDOMAIN, type Zone, zoneReply } from '../../support/zone-server.ts';

export const SEARCH = ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'];

export interface Counting extends Upstream {
  readonly asked: string[];
}

/** Answers from a table, A and AAAA by the form of the address; a name it has not is NXDOMAIN. */
export function table(names: Readonly<Record<string, readonly string[]>>, ttl = 30): Zone {
  return ({ name, type }) => {
    const found = names[name.toLowerCase()];
    if (found === undefined) return NXDOMAIN;
    const data = found.filter((text) => (type === 'AAAA') === text.includes(':'));
    if (data.length === 0) return { authorities: NXDOMAIN.authorities ?? [] };
    const [recordType, wanted] = type === 'AAAA' ? (['AAAA', data] as const) : (['A', data] as const);
    return { answers: wanted.map((text) => ({ name, type: recordType, ttl, data: text })) };
  };
}

export function upstream(zone: Zone): Counting {
  const asked: string[] = [];
  return {
    asked,
    ask: async (message) => {
      const [question] = dnsPacket.decode(message).questions ?? [];
      asked.push(`${question?.type} ${question?.name}`);
      const reply = await zoneReply(zone, message);
      if (reply === undefined) throw new Error('no answer');
      return reply;
    },
  };
}

export const silent: Upstream = {
  ask: (_message, signal) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
};
export const nobody = upstream(() => undefined);

export function makeResolver(cluster: Upstream, laptop: Upstream, more: Partial<ResolverOptions> = {}): PodResolver {
  return new PodResolver({
    search: SEARCH,
    ndots: 5,
    cluster,
    laptop,
    laptopSuffixes: ['intra'],
    clusterSuffixes: [],
    inClusterRange: (address) => address.startsWith('10.96.'),
    log: silentLog,
    ...more,
  });
}

export async function ask(resolver: PodResolver, message: Buffer): Promise<dnsPacket.DecodedPacket> {
  return dnsPacket.decode(await resolver.answer(message, 'udp'));
}

export const rcode = (packet: dnsPacket.Packet): number => (packet.flags ?? 0) & 15;
export const texts = (packet: dnsPacket.Packet): unknown[] =>
  (packet.answers ?? []).map((record) => ('data' in record ? record.data : undefined));
