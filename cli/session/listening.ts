import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { InterceptorError, systemErrorCode } from '../../src/errors.ts';

/** Where the process listens: 127.0.0.1 unless `--to` says otherwise. */
export interface ProcessAddress {
  readonly host: string;
  readonly port: number;
}

const CONNECT_TIMEOUT_MS = 1_000;

/**
 * Whether something listens at the address. On Linux the kernel's table is read, so that the process sees no connection
 * it did not get from a caller; elsewhere, and for other hosts, a connection is made and closed.
 */
export async function isListening(address: ProcessAddress): Promise<boolean> {
  if (process.platform === 'linux' && isLoopback(address.host)) {
    const listeners = await readListeners(address.host).catch(() => undefined); // no /proc: ask by connecting
    if (listeners !== undefined) return listeners.some(({ port }) => port === address.port);
  }
  return await accepts(address);
}

/**
 * Whether a UDP socket is bound to the address. On Linux the kernel's table is read; elsewhere the address is tried, for a
 * moment in which nobody else can have it. Of another host nothing can be known: yes.
 */
export async function isBound(address: ProcessAddress): Promise<boolean> {
  if (!isLoopback(address.host)) return true;
  if (process.platform === 'linux') {
    const bound = await readTables('udp', address.host, UNCONNECTED).catch(() => undefined); // no /proc: try
    if (bound !== undefined) return bound.some(({ port }) => port === address.port);
  }
  return await isTaken(address);
}

/** A socket that waits for peers. */
export interface Listener {
  readonly port: number;
  readonly inode: string;
}

/**
 * What a caller of `host`, a loopback address, finds open, from the kernel's tables.
 * @throws where there is no /proc
 */
export async function readListeners(host: string): Promise<Listener[]> {
  return await readTables('tcp', host, LISTEN);
}

/** States of sockets (include/net/tcp_states.h); a UDP socket without a peer is in CLOSE. */
const LISTEN = '0A';
const UNCONNECTED = '07';

async function readTables(kind: 'tcp' | 'udp', host: string, state: string): Promise<Listener[]> {
  const tables = await Promise.all([
    readFile(`/proc/self/net/${kind}`, 'latin1'),
    readFile(`/proc/self/net/${kind}6`, 'latin1').catch(() => ''), // IPv6 may be off
  ]);
  return tables.flatMap((table) => parseListeners(table, host, state));
}

/**
 * The sockets in a table of /proc/net (proc(5)) that are in this state, by default LISTEN, and whose address is `host` or a
 * wildcard.
 * @param host 127.x.y.z, ::1 or localhost
 */
export function parseListeners(table: string, host: string, wanted: string = LISTEN): Listener[] {
  const addresses = kernelAddresses(host);
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (local === undefined || inode === undefined || state !== wanted) return [];
      const [address, port] = local.split(':');
      if (address === undefined || port === undefined) return [];
      return addresses.includes(address) ? [{ port: Number.parseInt(port, 16), inode }] : [];
    });
}

/** The wildcards and the address itself as the kernel prints them: 32-bit words in the host's byte order (little-endian). */
function kernelAddresses(host: string): string[] {
  const anyV6 = '0'.repeat(32);
  if (host === '::1') return [anyV6, `${'0'.repeat(24)}01000000`];
  const bytes = (host === 'localhost' ? '127.0.0.1' : host).split('.').map(Number);
  const v4 = Buffer.from(bytes.reverse()).toString('hex').toUpperCase();
  const mapped = `${'0'.repeat(16)}FFFF0000`;
  return ['0'.repeat(8), v4, anyV6, `${mapped}${'0'.repeat(8)}`, `${mapped}${v4}`];
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

async function isTaken({ host, port }: ProcessAddress): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.once('error', (error) => {
      socket.close();
      resolve(systemErrorCode(error) === 'EADDRINUSE');
    });
    socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(false)));
  });
}

async function accepts(address: ProcessAddress): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: address.host, port: address.port, timeout: CONNECT_TIMEOUT_MS });
    const answer = (up: boolean) => (): void => {
      socket.destroy();
      resolve(up);
    };
    socket.once('connect', answer(true)).once('error', answer(false)).once('timeout', answer(false));
  });
}

/** Reads `--to host:port` or `--to host`. @throws InterceptorError USAGE_BAD_OPTION */
export function parseToOption(text: string): { host: string; port: number | undefined } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65535)))
    throw new InterceptorError('USAGE_BAD_OPTION', `--to "${text}" is not host:port`, {
      hint: 'for example --to 127.0.0.2:3000, or --to [::1]:3000',
    });
  return { host, port };
}
