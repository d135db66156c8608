import { BlockList, isIP } from '../net/ip.ts';

/** The addresses a reverse name stands for: one, or those between (`168.192.in-addr.arpa`). */
export interface ReverseRange {
  readonly family: 4 | 6;
  readonly lowest: string;
  readonly highest: string;
}

/** Networks whose names only the laptop's own surroundings can know. */
const PRIVATE_NETWORKS = [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['127.0.0.0', 8],
  ['fe80::', 10],
  ['fc00::', 7],
  ['::1', 128],
] as const;

const privateNetworks = new BlockList();
for (const [network, prefix] of PRIVATE_NETWORKS) privateNetworks.addSubnet(network, prefix, familyName(network));

/** Whether an address is private to where the laptop is: RFC 1918, link-local, unique local, loopback. */
export function isPrivateAddress(address: string): boolean {
  return isIP(address) !== 0 && privateNetworks.check(address, familyName(address));
}

/**
 * Reads a name below in-addr.arpa or ip6.arpa. Labels before the digits (`lb._dns-sd._udp.0.1.168.192.in-addr.arpa`)
 * are passed over.
 * @returns undefined when it is no such name, or has no digits
 */
export function reverseRange(name: string): ReverseRange | undefined {
  const labels = name.toLowerCase().replace(/\.$/, '').split('.').reverse();
  if (labels[0] !== 'arpa') return undefined;
  if (labels[1] === 'in-addr') {
    const octets = leading(labels.slice(2, 6), /^(?:\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])$/);
    if (octets.length === 0) return undefined;
    return { family: 4, lowest: padded(octets, 4, '0').join('.'), highest: padded(octets, 4, '255').join('.') };
  }
  if (labels[1] === 'ip6') {
    const nibbles = leading(labels.slice(2, 34), /^[0-9a-f]$/);
    if (nibbles.length === 0) return undefined;
    return { family: 6, lowest: groups(padded(nibbles, 32, '0')), highest: groups(padded(nibbles, 32, 'f')) };
  }
  return undefined;
}

function leading(labels: readonly string[], digit: RegExp): string[] {
  const end = labels.findIndex((label) => !digit.test(label));
  return end === -1 ? [...labels] : labels.slice(0, end);
}

function padded(digits: readonly string[], length: number, filler: string): string[] {
  return Array.from({ length }, (_, index) => digits[index] ?? filler);
}

function groups(nibbles: readonly string[]): string {
  return nibbles.join('').replace(/.{4}/g, '$&:').slice(0, -1);
}

function familyName(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
