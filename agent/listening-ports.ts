import { readFile } from 'node:fs/promises';

/** TCP_LISTEN in the kernel's `st` column (include/net/tcp_states.h). */
const LISTEN_STATE = '0A';

/**
 * The ports of the listening sockets in one table of /proc/net.
 * @param table the text of /proc/net/tcp or tcp6: a header, then `sl local_address rem_address st …`, addresses as HEX:PORT
 */
export function parseListeningPorts(table: string): Set<number> {
  const ports = new Set<number>();
  for (const line of table.split('\n')) {
    const [, address, , state] = line.trim().split(/\s+/, 4);
    if (state !== LISTEN_STATE || address === undefined) continue;
    const port = Number.parseInt(address.slice(address.lastIndexOf(':') + 1), 16);
    if (port > 0) ports.add(port);
  }
  return ports;
}

/** Ports that anything in this network namespace (the pod) listens on, IPv4 or IPv6; empty where there is no /proc. */
export async function readListeningPorts(): Promise<Set<number>> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map(async (path) => {
      try {
        return parseListeningPorts(await readFile(path, 'utf8'));
      } catch {
        return new Set<number>(); // ENOENT: a kernel without IPv6, or no Linux
      }
    }),
  );
  return new Set(tables.flatMap((ports) => [...ports]));
}
