/** A socket inside that waits for peers. */
export interface ListeningSocket {
  readonly kind: 'tcp' | 'udp';
  /** As text; a wildcard is 0.0.0.0 or ::. */
  readonly address: string;
  readonly port: number;
}

/** include/net/tcp_states.h; unconnected UDP sockets are in state CLOSE. */
const WAITING_STATE = { tcp: '0A', udp: '07' } as const;

/**
 * The sockets that wait for peers, from a table of /proc/net (proc(5)).
 * @param table the text of tcp, tcp6, udp or udp6: a header, then `sl local_address rem_address st …`
 */
export function parseListeningSockets(table: string, kind: ListeningSocket['kind']): ListeningSocket[] {
  const found: ListeningSocket[] = [];
  for (const line of table.split('\n').slice(1)) {
    const [, local, , state] = line.trim().split(/\s+/, 4);
    const [hex, portHex] = local?.split(':') ?? [];
    if (state !== WAITING_STATE[kind] || hex === undefined || portHex === undefined) continue;
    const address = parseKernelAddress(hex);
    const port = Number.parseInt(portHex, 16);
    if (address !== undefined && port > 0) found.push({ kind, address, port });
  }
  return found;
}

/** 32-bit words in this machine's order, little-endian on all that Node runs on but s390x. */
function parseKernelAddress(hex: string): string | undefined {
  const bytes = Buffer.from(hex, 'hex').swap32();
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return undefined;
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes.readUInt16BE(10) === 0xffff;
  if (mapped) return bytes.subarray(12).join('.');
  const rest = bytes.subarray(0, 15).every((byte) => byte === 0);
  if (rest) return bytes[15] === 0 ? '::' : `::${bytes[15]?.toString(16)}`;
  return Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16)).join(':');
}

/** The address to use inside, and the laptop's that stands for it. */
export interface MirrorAddresses {
  readonly inside: string;
  readonly outside: string;
}

/** Where a socket inside appears on the laptop, the most important first; nowhere, for our own. */
export function mirrorAddresses({ address }: ListeningSocket, ownAddress: string): readonly MirrorAddresses[] {
  const v4 = { inside: '127.0.0.1', outside: '127.0.0.1' };
  const v6 = { inside: '::1', outside: '::1' };
  if (address === '0.0.0.0') return [v4];
  if (address === '::') return [v4, v6];
  if (address === '::1') return [v6];
  if (address.startsWith('127.')) return [{ inside: address, outside: address }];
  return address === ownAddress ? [{ inside: ownAddress, outside: '127.0.0.1' }] : [];
}
