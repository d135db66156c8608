import { readFile } from 'node:fs/promises';
import { parseResolvConf } from '../../src/dns/resolv-conf.ts';

/** The pod's resolvers and how to ask them (resolv.conf(5)). */
export interface DnsServers {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly ndots: number;
  /** `options timeout:n`. */
  readonly timeoutMs: number;
  /** `options attempts:n`: how often each server is asked. */
  readonly attempts: number;
  readonly rotate: boolean;
}

const DEFAULT_TIMEOUT_SECONDS = 5;
const DEFAULT_ATTEMPTS = 2;
/** glibc's RES_MAXRETRANS and RES_MAXRETRY. */
const MAX_TIMEOUT_SECONDS = 30;
const MAX_ATTEMPTS = 5;

/** Reads a resolv.conf. Without a nameserver it is 127.0.0.1, as for glibc. Never throws. */
export function parseDnsServers(text: string): DnsServers {
  const { nameservers, search, ndots } = parseResolvConf(text);
  const options = text.split('\n').flatMap((line) => /^options\s+(.*)$/.exec(line)?.[1]?.trim().split(/\s+/) ?? []);
  const numberOf = (name: string, usual: number, max: number): number => {
    const digits = options.map((option) => new RegExp(`^${name}:(\\d{1,9})$`).exec(option)?.[1]).findLast(Boolean);
    return Math.min(Math.max(1, digits === undefined ? usual : Number(digits)), max);
  };
  return {
    nameservers: nameservers.length > 0 ? nameservers : ['127.0.0.1'],
    search,
    ndots,
    timeoutMs: numberOf('timeout', DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS) * 1000,
    attempts: numberOf('attempts', DEFAULT_ATTEMPTS, MAX_ATTEMPTS),
    rotate: options.includes('rotate'),
  };
}

/** @param file a missing one says nothing */
export async function readDnsServers(file: string): Promise<DnsServers> {
  return parseDnsServers(await readFile(file, 'utf8').catch(() => '')); // ENOENT: dnsPolicy None without a config
}
