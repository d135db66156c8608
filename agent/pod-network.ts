import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { parseResolvConf } from '../src/dns/resolv-conf.ts';
import type { PodNetwork } from '../src/protocol/control.ts';

export const RESOLV_CONF = '/etc/resolv.conf';

/**
 * How this pod looks names up, and its addresses, the one Kubernetes knows first.
 * @param resolvConf the file; a missing one says nothing
 */
export async function readPodNetwork(podIp: string, resolvConf = RESOLV_CONF): Promise<PodNetwork> {
  const text = await readFile(resolvConf, 'utf8').catch(() => ''); // ENOENT: dnsPolicy None without a config
  const { nameservers, search, ndots } = parseResolvConf(text);
  const own = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses);
  const addresses = own.filter(({ internal, scopeid }) => !internal && !scopeid).map(({ address }) => address);
  return { addresses: [...new Set([podIp, ...addresses])], nameservers, search, ndots };
}
