import type { Answer, Question } from 'dns-packet';
import type { Placed, ServiceTable } from './service-table.ts';

/** As the cluster's own DNS: a Service may come and go. */
export const TTL_SECONDS = 5;

export interface Reply {
  readonly code: 'NOERROR' | 'NXDOMAIN';
  readonly answers: readonly Answer[];
  readonly additionals: readonly Answer[];
}

export interface OwnNames {
  /** `cluster.local` */
  readonly domain: string;
  /** The pod's search list. */
  readonly search: readonly string[];
  readonly table: ServiceTable;
}

const NODATA: Reply = { code: 'NOERROR', answers: [], additionals: [] };
const NXDOMAIN: Reply = { code: 'NXDOMAIN', answers: [], additionals: [] };

/**
 * Answers what stands on this laptop: `svc`, `svc.ns`, `svc.ns.svc`, the full name, pods of headless Services (A), and SRV.
 * There are no IPv6 loopback addresses but ::1, so AAAA has none.
 * @returns undefined for names and types that are the resolver's
 */
export function answerOwn(question: Question, names: OwnNames): Reply | undefined {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  if (question.type === 'PTR') return reverse(question, name, names);
  if (question.type !== 'A' && question.type !== 'AAAA' && question.type !== 'SRV') return undefined;
  const isWhole = name.endsWith(`.${names.domain}`);
  for (const full of fullNames(name, names)) {
    const reply = answerFull(question, full, names);
    // As a search list goes on: a Service called `app` must not take all names of that top-level domain away.
    if (reply !== undefined && (isWhole || reply.code !== 'NXDOMAIN')) return reply;
  }
  return undefined;
}

/** The name as it stands below `svc.<domain>` (without that), in the order of the search list. */
export function fullNames(name: string, { domain, search }: Pick<OwnNames, 'domain' | 'search'>): string[] {
  const below = `.svc.${domain}`;
  const candidates = name.endsWith(`.${domain}`)
    ? [name]
    : [...search.map((suffix) => `${name}.${suffix}`), `${name}.${domain}`];
  return [...new Set(candidates.filter((full) => full.endsWith(below)).map((full) => full.slice(0, -below.length)))];
}

function answerFull(question: Question, full: string, names: OwnNames): Reply | undefined {
  const labels = full.split('.');
  const namespace = labels.pop();
  const name = labels.pop();
  if (namespace === undefined || name === undefined) return undefined;
  const found = names.table.find(namespace, name);
  if (found === undefined) return undefined;
  const [first = '', second = ''] = labels;
  if (labels.length === 2 && first.startsWith('_') && second.startsWith('_')) {
    if (question.type !== 'SRV') return NODATA;
    return serviceRecords(question, found.standings, names, { name: first.slice(1), protocol: second.slice(1) });
  }
  if (labels.length > 1 || (labels.length === 1 && !found.headless)) return NXDOMAIN;
  const standings = labels.length === 0 ? found.standings : found.standings.filter(({ pod }) => pod === first);
  if (standings.length === 0) return NXDOMAIN; // as the cluster's DNS: a headless Service without ready pods
  if (question.type === 'SRV') return serviceRecords(question, standings, names, undefined);
  if (question.type === 'AAAA') return NODATA;
  return { ...NODATA, answers: standings.map(({ address }) => addressRecord(question.name, address)) };
}

function serviceRecords(
  question: Question,
  standings: readonly Placed[],
  names: OwnNames,
  wanted: { name: string; protocol: string } | undefined,
): Reply {
  const answers: Answer[] = [];
  const targets = new Map<string, string>();
  for (const standing of standings) {
    for (const { name, port, protocol } of standing.ports) {
      if (wanted !== undefined && (name !== wanted.name || protocol !== wanted.protocol)) continue;
      const target = fullNameOf(standing, names.domain);
      targets.set(target, standing.address);
      answers.push({
        type: 'SRV',
        name: question.name,
        ttl: TTL_SECONDS,
        data: { target, port, priority: 0, weight: 100 },
      });
    }
  }
  if (answers.length === 0) return NXDOMAIN;
  return {
    code: 'NOERROR',
    answers,
    additionals: [...targets].map(([target, address]) => addressRecord(target, address)),
  };
}

function reverse(question: Question, name: string, names: OwnNames): Reply | undefined {
  const reversed = /^([0-9.]+)\.in-addr\.arpa$/.exec(name)?.[1];
  if (reversed === undefined) return undefined;
  const address = reversed.split('.').reverse().join('.');
  const standing = names.table.at(address);
  if (standing === undefined) return undefined;
  const data = fullNameOf(standing, names.domain);
  return { ...NODATA, answers: [{ type: 'PTR', name: question.name, ttl: TTL_SECONDS, data }] };
}

function fullNameOf(standing: Placed, domain: string): string {
  const [namespace = '', name = ''] = standing.service.split('/');
  return `${standing.pod === undefined ? '' : `${standing.pod}.`}${name}.${namespace}.svc.${domain}`;
}

function addressRecord(name: string, address: string): Answer {
  return { type: 'A', name, ttl: TTL_SECONDS, data: address };
}
