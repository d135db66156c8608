import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { InterceptorError } from '../../src/errors.ts';
import { isBound, isListening, readListeners } from './listening.ts';
import { isAlive, readSessionRecords, type SessionRecord } from './state-files.ts';

/**
 * Sees to it that a command can get the port: callers would otherwise be handed to whatever listens there, and the
 * intercept be reported as ready although the command failed to listen.
 * @param hosts the addresses that callers would be handed to
 * @throws InterceptorError USAGE_BAD_PORT
 */
export async function requireFreePort(
  port: number,
  hosts: readonly string[],
  protocol: 'tcp' | 'udp' = 'tcp',
): Promise<void> {
  for (const host of hosts) {
    if (!(await (protocol === 'udp' ? isBound : isListening)({ host, port }))) continue;
    if (protocol === 'udp')
      throw new InterceptorError('USAGE_BAD_PORT', `UDP port ${port} on this laptop is in use already`, {
        hint: 'end what has it, or choose another --port, or leave out the command to give the traffic to that process',
      });
    const session = await sessionOfPort(port);
    if (session !== undefined) {
      const { target, namespace, pid } = session;
      throw new InterceptorError(
        'USAGE_BAD_PORT',
        `port ${port} on this laptop is in use already by the intercept of ${target} in ${namespace} (pid ${pid})`,
        { hint: `${leaveHint(session)}; or choose another --port` },
      );
    }
    const owner = await ownerOf(port, host).catch(() => undefined); // no /proc on this system
    const by = owner === undefined ? '' : ` by pid ${owner.pid} (${owner.name})`;
    throw new InterceptorError('USAGE_BAD_PORT', `port ${port} on this laptop is in use already${by}`, {
      hint: 'end it, or choose another --port, or leave out the command to give the traffic to that process',
    });
  }
}

/** How another session of this laptop is ended, for people. */
export function leaveHint({ target, namespace }: Pick<SessionRecord, 'target' | 'namespace'>): string {
  return `intercept leave ${target} -n ${namespace} ends it`;
}

/** The other session of this user that gives the traffic of its target to that port; what listens there may be its command. */
async function sessionOfPort(port: number): Promise<SessionRecord | undefined> {
  for (const record of await readSessionRecords()) {
    const has = record.ports.some(({ local }) => local.endsWith(`:${port}`));
    if (has && record.pid !== process.pid && (await isAlive(record))) return record;
  }
  return undefined;
}

/**
 * Sees to it that no other session of this user has the same traffic: where it has, the port it holds is not what to change.
 * @throws InterceptorError TARGET_IN_USE
 */
export async function requireNoTwin(
  own: Pick<SessionRecord, 'server' | 'namespace' | 'workloadKind' | 'workloadName'>,
  appPorts: readonly number[],
): Promise<void> {
  for (const record of await readSessionRecords()) {
    const { server, namespace, workloadKind, workloadName, ports, pid } = record;
    if (server !== own.server || namespace !== own.namespace) continue;
    if (workloadKind !== own.workloadKind || workloadName !== own.workloadName) continue;
    if (!ports.some(({ appPort }) => appPorts.includes(appPort))) continue;
    if (pid === process.pid || !(await isAlive(record))) continue;
    const name = `${workloadKind.toLowerCase()}/${workloadName}`;
    throw new InterceptorError('TARGET_IN_USE', `${name} is intercepted on this laptop already (pid ${pid})`, {
      hint: leaveHint(record),
    });
  }
}

/** Who listens there, as far as the user may see: the descriptors of others' processes are theirs. */
async function ownerOf(port: number, host: string): Promise<{ pid: number; name: string } | undefined> {
  const listeners = await readListeners(host);
  const sockets = listeners.filter((listener) => listener.port === port).map(({ inode }) => `socket:[${inode}]`);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []); // EACCES: another user's; ENOENT: it has ended
    const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))); // closed
    if (!targets.some((target) => sockets.includes(target))) continue;
    // Not `comm`: newer versions of Node name their main thread there.
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // it has just ended
    return { pid: Number(pid), name: basename(commandLine.split('\0', 1)[0] ?? '') || '?' };
  }
  return undefined;
}
