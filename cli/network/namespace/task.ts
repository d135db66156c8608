import { readFile } from 'node:fs/promises';
import type { HelperTask } from './helper.ts';
import type { Programs } from './programs.ts';

/** TEST-NET-1 (RFC 5737): in use nowhere, and not link-local, so IPv4 answers sort before IPv6 ones (RFC 6724). */
export const OWN_ADDRESS = '192.0.2.1';
const NAMESERVER = '192.0.2.53';
const ACCEPTOR = '192.0.2.54';
const ACCEPTOR_V6 = '2001:db8::54'; // RFC 3849
/** Low, so that the command's own listeners never meet it. */
const ACCEPTOR_PORT = 1;

/** Where systemd-resolved keeps the files that resolv.conf is a link to. */
const RESOLVED_FILES = ['/run/systemd/resolve/stub-resolv.conf', '/run/systemd/resolve/resolv.conf'];

export interface Mount {
  /** A directory or file of the laptop; stays live. */
  readonly source: string;
  /** Absolute; need not exist. */
  readonly target: string;
}

/** Where the command's own programs, devices and sockets are; a volume in their place would keep it from running. */
const NEEDED = ['/bin', '/dev', '/etc', '/lib', '/proc', '/run', '/sys', '/tmp', '/usr', '/var/run'];

/**
 * Leaves out the mounts that would hide what the command needs of the laptop.
 * @param own directories of the user: the working directory, home
 */
export function harmlessMounts(
  mounts: readonly Mount[],
  own: readonly string[],
): { readonly mounts: readonly Mount[]; readonly warnings: readonly string[] } {
  const harmful = mounts.filter(({ source, target }) =>
    [...NEEDED, ...own, source].some((path) => `${path}/`.startsWith(`${target.replace(/\/+$/, '')}/`)),
  );
  return {
    mounts: mounts.filter((mount) => !harmful.includes(mount)),
    warnings: harmful.map(({ source, target }) => `${target}: would hide the laptop's own; its files are in ${source}`),
  };
}

/** What the helper sets up. */
export async function helperTask(
  programs: Programs,
  resolver: { readonly search: readonly string[]; readonly ndots: number },
  mounts: readonly Mount[],
): Promise<HelperTask> {
  return {
    nft: programs.nft,
    ip: programs.ip,
    address: OWN_ADDRESS,
    nameserver: NAMESERVER,
    acceptor: ACCEPTOR,
    acceptorV6: ACCEPTOR_V6,
    acceptorPort: ACCEPTOR_PORT,
    resolvConf: resolvConf(resolver.search, resolver.ndots),
    resolvConfCopies: RESOLVED_FILES,
    nsswitchConf: plainNsswitch(await readFile('/etc/nsswitch.conf', 'utf8').catch(() => undefined)), // musl has none
    mounts: [...mounts].sort((a, b) => a.target.length - b.target.length), // what is in another comes after it
    probe: false,
  };
}

/** The resolv.conf of the command. */
export function resolvConf(search: readonly string[], ndots: number): string {
  const lines = [`nameserver ${NAMESERVER}`, ...(search.length > 0 ? [`search ${search.join(' ')}`] : [])];
  return `${lines.join('\n')}\noptions ndots:${ndots}\n`;
}

/**
 * nsswitch.conf with names from files and DNS alone: modules such as `resolve` and `mdns` ask the laptop's resolver past
 * resolv.conf.
 * @param text undefined where there is none
 * @returns null when nothing has to change
 */
export function plainNsswitch(text: string | undefined): string | null {
  if (text === undefined) return null;
  const lines = text.split('\n').filter((line) => !/^\s*hosts\s*:/.test(line));
  const plain = [
    ...lines.filter((line, index) => line !== '' || index < lines.length - 1),
    'hosts: files dns',
    '',
  ].join('\n');
  return /^\s*hosts\s*:\s*files\s+dns\s*$/m.test(text) ? null : plain;
}
