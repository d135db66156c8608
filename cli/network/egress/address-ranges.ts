import { BlockList, isIP } from 'node:net';
import { InterceptorError } from '../../../src/errors.ts';

/** Addresses named by CIDRs, single addresses included; IPv4 in IPv6's clothes (`::ffff:10.0.0.1`) is IPv4. */
export class AddressRanges {
  readonly cidrs: readonly string[];
  readonly #list = new BlockList();

  /** @throws InterceptorError USAGE_BAD_OPTION for what is no CIDR */
  constructor(cidrs: Iterable<string>) {
    this.cidrs = [...cidrs];
    for (const cidr of this.cidrs) {
      const { address, prefix, family } = parseCidr(cidr);
      this.#list.addSubnet(address, prefix, family);
    }
  }

  /** @param address a literal, without zone; a name is in no range */
  has(address: string): boolean {
    const version = isIP(address);
    return version !== 0 && this.#list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  }
}

/**
 * Reads `10.0.0.0/8`, `fd00::/8` or a lone address.
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export function parseCidr(text: string): { address: string; prefix: number; family: 'ipv4' | 'ipv6' } {
  const [address = '', length, ...rest] = text.split('/');
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (version === 0 || rest.length > 0 || address.includes('%') || !(prefix <= bits)) {
    throw new InterceptorError('USAGE_BAD_OPTION', `"${text}" is no range of addresses`, {
      hint: 'for example 10.20.0.0/16, 192.168.1.7 or fd00:20::/32',
    });
  }
  return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
}

/** Whether an address literal is the own machine's: 127/8, ::1, and what connects there (0.0.0.0, ::). */
export function isLoopback(address: string): boolean {
  return LOOPBACK.has(address);
}

const LOOPBACK = new AddressRanges(['127.0.0.0/8', '::1/128', '0.0.0.0/32', '::/128']);
