import { readFileSync } from 'node:fs';

/**
 * Which user holds the other end of a connection from this machine, as the Linux kernel knows it.
 * @param protocol of the sockets
 * @param port the peer's, on 127.0.0.1
 * @param own ours: what the peer is connected to; undefined where it need not be connected (UDP)
 * @returns undefined on other systems, and where there is no such socket
 */
export function peerUid(protocol: 'tcp' | 'udp', port: number, own: number | undefined): number | undefined {
  if (process.platform !== 'linux') return undefined;
  for (const table of [protocol, `${protocol}6`]) {
    try {
      const uid = uidInTable(readFileSync(`/proc/net/${table}`, 'latin1'), port, own);
      if (uid !== undefined) return uid;
    } catch {
      // ENOENT, EACCES: a system without this table
    }
  }
  return undefined;
}

/** 127.0.0.1, and the wildcards of sockets that are bound to a port only; IPv4 in IPv6's clothes, too. */
const LOOPBACK = /^(?:0100007F|0{8}|0{32}|0{16}FFFF00000100007F)$/;

/**
 * Finds a socket in the text of /proc/net/{tcp,udp}{,6}: `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout
 * inode …`,
 * addresses in hexadecimal, `0100007F:1F90`.
 */
export function uidInTable(text: string, port: number, own: number | undefined): number | undefined {
  const wanted = hexPort(port);
  const peer = own === undefined ? undefined : hexPort(own);
  for (const line of text.split('\n')) {
    const [, local = '', remote = '', , , , , uid, , inode] = line.trim().split(/\s+/);
    if (!local.endsWith(wanted) || (peer !== undefined && !remote.endsWith(peer))) continue;
    if (!LOOPBACK.test(local.slice(0, -wanted.length))) continue;
    if (inode === '0') continue; // its owner has closed it: the kernel says 0 of it, which is not root
    const number = Number(uid);
    if (uid !== undefined && Number.isInteger(number)) return number;
  }
  return undefined;
}

function hexPort(port: number): string {
  return `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
}
