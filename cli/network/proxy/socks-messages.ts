import { isIPv4, isIPv6 } from 'node:net';
import { canonicalAddress } from '../../../src/dns/addresses.ts';

export const SOCKS5_VERSION = 5;
export const SOCKS4_VERSION = 4;
export const METHOD_NONE = 0;
export const METHOD_PASSWORD = 2;
export const METHOD_REFUSED = 0xff;
export const COMMAND_CONNECT = 1;
export const COMMAND_UDP_ASSOCIATE = 3;
/** Ours, from the private range: the connection becomes the preload's line of requests. */
export const COMMAND_CONTROL = 0xf0;

const TYPE_IPV4 = 1;
const TYPE_NAME = 3;
const TYPE_IPV6 = 4;

export interface Destination {
  readonly host: string;
  readonly port: number;
}

/** Bytes of an address behind its type byte, as far as the first byte of it tells; undefined: no such type. */
export function addressBytes(type: number, first: number): number | undefined {
  if (type === TYPE_IPV4) return 4;
  if (type === TYPE_IPV6) return 16;
  return type === TYPE_NAME ? 1 + first : undefined;
}

/** @param bytes the address without its type: 4, 16, or a length and the name */
export function readAddress(type: number, bytes: Buffer): string {
  if (type === TYPE_IPV4) return bytes.join('.');
  if (type === TYPE_NAME) return bytes.subarray(1).toString('utf8');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return canonicalAddress(groups.join(':'));
}

/** Type, address and port; a name longer than 255 bytes is cut, none is that long. */
export function writeDestination({ host, port }: Destination): Buffer {
  const end = Buffer.alloc(2);
  end.writeUInt16BE(port);
  if (isIPv4(host)) return Buffer.concat([Buffer.from([TYPE_IPV4, ...host.split('.').map(Number)]), end]);
  if (isIPv6(host)) return Buffer.concat([Buffer.from([TYPE_IPV6]), ipv6Bytes(host), end]);
  const name = Buffer.from(host).subarray(0, 255);
  return Buffer.concat([Buffer.from([TYPE_NAME, name.byteLength]), name, end]);
}

/** A reply of SOCKS5 (RFC 1928 §6). @param bound where the connection leaves from, as far as anybody asks */
export function socks5Answer(reply: number, bound: Destination = { host: '0.0.0.0', port: 0 }): Buffer {
  return Buffer.concat([Buffer.from([SOCKS5_VERSION, reply, 0]), writeDestination(bound)]);
}

/** A datagram behind its destination (RFC 1928 §7). */
export function writeDatagram(destination: Destination, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, 0, 0]), writeDestination(destination), data]);
}

/** @returns undefined for what is no whole datagram, fragments included (RFC 1928 §7 lets us drop them) */
export function readDatagram(
  message: Buffer,
): { readonly destination: Destination; readonly data: Buffer } | undefined {
  if (message.byteLength < 5 || message.readUInt16BE(0) !== 0 || message[2] !== 0) return undefined;
  const type = message[3] ?? 0;
  const length = addressBytes(type, message[4] ?? 0);
  if (length === undefined || message.byteLength < 4 + length + 2) return undefined;
  const host = readAddress(type, message.subarray(4, 4 + length));
  const port = message.readUInt16BE(4 + length);
  return { destination: { host, port }, data: message.subarray(4 + length + 2) };
}

function ipv6Bytes(address: string): Buffer {
  const plain = address.replace(/%.*$/, '').replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
  const [head = '', tail] = plain.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array.from({ length: missing }, () => '0'), ...groups(tail ?? '')];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of all.slice(0, 8).entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}
