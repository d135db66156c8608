import dns from 'node:dns';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { parseResolvConf } from '../../../src/dns/resolv-conf.ts';

/** Where a DNS server listens. */
export interface DnsServerAddress {
  readonly host: string;
  readonly port: number;
}

const DNS_PORT = 53;
/** The laptop changes networks; its servers are read anew after this long. */
const SERVERS_KEPT_MS = 5_000;

/** Reads `1.1.1.1`, `1.1.1.1:5353`, `2001:db8::1`, `[2001:db8::1]:5353`, `fe80::1%eth0`. @returns undefined for anything else */
export function parseServer(text: string): DnsServerAddress | undefined {
  if (isIP(text) !== 0) return { host: text, port: DNS_PORT };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = digits === undefined ? DNS_PORT : Number(digits);
  return isIP(host) !== 0 && port > 0 && port <= 65_535 ? { host, port } : undefined;
}

/** The laptop's own servers as they are now: not as they were when this process began, as dns.getServers() has them. */
export function laptopServers(): () => Promise<readonly DnsServerAddress[]> {
  let known: Promise<readonly DnsServerAddress[]> | undefined;
  let untilMs = 0;
  return async () => {
    if (known === undefined || performance.now() > untilMs) {
      untilMs = performance.now() + SERVERS_KEPT_MS;
      known = readServers();
    }
    return await known;
  };
}

async function readServers(): Promise<readonly DnsServerAddress[]> {
  const parsed = (texts: readonly string[]): DnsServerAddress[] => texts.flatMap((text) => parseServer(text) ?? []);
  if (process.platform === 'linux') {
    const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => ''); // ENOENT: then as below
    const servers = parsed(parseResolvConf(text).nameservers);
    if (servers.length > 0) return servers;
  }
  return parsed(new dns.Resolver().getServers());
}
