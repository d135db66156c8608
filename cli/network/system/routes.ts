import { BlockList, isIPv6 } from 'node:net';
import { isRecord } from '../../../src/is-record.ts';
import { ROUTE_PROTOCOL } from './plan-linux.ts';

/** A network the laptop has a way to. */
export interface LaptopRoute {
  readonly network: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
  readonly device: string;
}

/** 0.0.0.0/1 and 128.0.0.0/1 are how VPN programs write a default route without replacing the laptop's. */
const MAX_DEFAULT_PREFIX = 1;
const WHOLE = { ipv4: 32, ipv6: 128 } as const;

/**
 * Reads `ip -json route show table all`.
 * @returns routes that are more than a default, other people's only
 */
export function readRoutes(json: string): LaptopRoute[] {
  const value: unknown = json.trim() === '' ? [] : JSON.parse(json);
  return (Array.isArray(value) ? value : []).flatMap((route: unknown): LaptopRoute[] => {
    if (!isRecord(route) || typeof route.dst !== 'string' || route.dst === 'default') return [];
    if (route.protocol === ROUTE_PROTOCOL || route.protocol === Number(ROUTE_PROTOCOL)) return [];
    const [network = '', digits] = route.dst.split('/');
    const family = isIPv6(network) ? 'ipv6' : 'ipv4';
    const prefix = digits === undefined ? WHOLE[family] : Number(digits);
    if (prefix <= MAX_DEFAULT_PREFIX) return [];
    return [{ network, prefix, family, device: typeof route.dev === 'string' ? route.dev : '' }];
  });
}

/** The route that leads to an address now. */
export function coveringRoute(address: string, routes: readonly LaptopRoute[]): LaptopRoute | undefined {
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  return routes.find((route) => {
    if (route.family !== family) return false;
    const list = new BlockList();
    list.addSubnet(route.network, route.prefix, family);
    return list.check(address, family);
  });
}

/** Lines for `ip -batch -`. */
export function literalCommands(verb: 'replace' | 'del', addresses: Iterable<string>): string {
  return [...addresses]
    .map(
      (address) =>
        `route ${verb} local ${address}/${isIPv6(address) ? 128 : 32} dev lo table local proto ${ROUTE_PROTOCOL}\n`,
    )
    .join('');
}
