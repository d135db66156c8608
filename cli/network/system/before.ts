import dns from 'node:dns';
import { readFile } from 'node:fs/promises';
import { parseResolvConf } from '../../../src/dns/resolv-conf.ts';
import { type DnsServerAddress, parseServer } from '../dns/servers.ts';
import { DNS_ADDRESSES } from './addresses.ts';
import { nameserversOf } from './resolv-conf.ts';
import { readBefore } from './resolv-conf-file.ts';

const RESOLV_CONF = '/etc/resolv.conf';
/** The servers behind systemd-resolved's stub: the stub would bring the cluster's names back to us. */
const UPLINK_CONF = '/run/systemd/resolve/resolv.conf';
const STUB_ADDRESSES: readonly string[] = ['127.0.0.53', '127.0.0.54'];

/**
 * The laptop's own nameservers as they are now, without the one system mode puts in front of them: for its Resolver's
 * ServersUpstream. Asked again for each question, so that a change of network is followed.
 */
export async function serversBefore(resolvConf: string = RESOLV_CONF): Promise<readonly DnsServerAddress[]> {
  if (process.platform !== 'linux') return usable(new dns.Resolver().getServers());
  const { text } = await readBefore(resolvConf);
  let found = nameserversOf(text ?? '');
  if (found.some((address) => STUB_ADDRESSES.includes(address))) {
    found = parseResolvConf(await readFile(UPLINK_CONF, 'utf8').catch(() => '')).nameservers; // ENOENT: no resolved
  }
  return usable(found);
}

function usable(found: readonly string[]): DnsServerAddress[] {
  return found.filter((address) => !DNS_ADDRESSES.includes(address)).flatMap((address) => parseServer(address) ?? []);
}
