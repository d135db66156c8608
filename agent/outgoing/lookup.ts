import { readFile } from 'node:fs/promises';
import { isIP, isIPv6, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type AnsweredAddress, answeredAddresses } from '../../src/dns/answers.ts';
import { makeQuestion } from '../../src/dns/make.ts';
import { RCODE, readQuestion } from '../../src/dns/message.ts';
import { searchCandidates } from '../../src/dns/names.ts';
import type { DnsClient } from './dns-client.ts';

export type Lookup = LookupFunction;

/** Whose questions they are. */
interface Asker {
  readonly client: DnsClient;
  readonly owner: object;
}

const LOOPBACK: readonly AnsweredAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];

/**
 * Names as getaddrinfo finds them in the pod: /etc/hosts (hostAliases), then DNS by the search list. Not getaddrinfo itself:
 * it holds one of Node's four threads for as long as a resolver keeps silent, and four such names would hold up everything.
 */
export function podLookup(client: DnsClient, hostsFile: string, owner: object): Lookup {
  return (name, options, done) => {
    lookUp({ client, owner }, hostsFile, name).then(
      (all) => {
        const [first] = all;
        if (first === undefined) done(notFound(name, 'ENOTFOUND'), options.all === true ? [] : '');
        else if (options.all === true) done(null, [...all]);
        else done(null, first.address, first.family);
      },
      (failure: NodeJS.ErrnoException) => done(failure, ''),
    );
  };
}

/** The first address of a name; an address is its own. @throws ENOTFOUND, EAI_AGAIN */
export function lookUpFirst(lookup: Lookup, host: string): Promise<string> {
  if (isIP(host) !== 0) return Promise.resolve(host);
  return new Promise((resolve, reject) => {
    lookup(host, { all: true }, (failure, addresses) => {
      const [first] = typeof addresses === 'string' ? [] : addresses;
      if (first === undefined) reject(failure ?? notFound(host, 'ENOTFOUND'));
      else resolve(first.address);
    });
  });
}

async function lookUp(by: Asker, hostsFile: string, name: string): Promise<readonly AnsweredAddress[]> {
  const hosts = await readFile(hostsFile, 'utf8').catch(() => ''); // ENOENT: an image without one
  const listed = parseHosts(hosts, name);
  if (listed.length > 0) return listed;
  if (name.toLowerCase().replace(/\.$/, '') === 'localhost') return LOOPBACK;
  const { search, ndots } = await by.client.servers;
  let unanswered = false;
  for (const candidate of searchCandidates(name, search, ndots)) {
    const found = await Promise.all((['A', 'AAAA'] as const).map((type) => ask(by, candidate, type)));
    unanswered ||= found.includes('unanswered');
    const addresses = found.flatMap((some) => (some === 'unanswered' ? [] : some));
    if (addresses.length > 0) return inOrder(addresses);
  }
  if (unanswered) throw notFound(name, 'EAI_AGAIN');
  return [];
}

async function ask(by: Asker, name: string, type: 'A' | 'AAAA'): Promise<AnsweredAddress[] | 'unanswered'> {
  const question = readQuestion(makeQuestion(name, type));
  if (typeof question === 'string') return [];
  const reply = await by.client.ask(question, by.owner);
  if (reply === undefined || (reply.rcode !== RCODE.NOERROR && reply.rcode !== RCODE.NXDOMAIN)) return 'unanswered';
  return answeredAddresses(reply);
}

/** The family that the pod has comes first (RFC 6724 rule 2, in short). */
function inOrder(addresses: readonly AnsweredAddress[]): AnsweredAddress[] {
  const own = Object.values(networkInterfaces()).flatMap((some = []) => some);
  const first = own.some(({ internal, family }) => !internal && family === 'IPv4') ? 4 : 6;
  return [...addresses].sort((a, b) => Number(b.family === first) - Number(a.family === first));
}

/**
 * The addresses of a name in an /etc/hosts, in order.
 * @param text hosts(5): address, names; what is broken is passed over
 */
export function parseHosts(text: string, name: string): AnsweredAddress[] {
  const wanted = name.toLowerCase().replace(/\.$/, '');
  return text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) === 0 || !names.some((known) => known.toLowerCase() === wanted)) return [];
    return [{ address, family: isIPv6(address) ? (6 as const) : (4 as const) }];
  });
}

function notFound(name: string, code: 'ENOTFOUND' | 'EAI_AGAIN'): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code} ${name}`), { code });
}
