import type { Socket } from 'node:net';
import { homedir } from 'node:os';
import { InterceptorError, systemErrorCode } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { DnsServer } from '../dns/server.ts';
import type { Egress, InnerPorts, Inside, Resolver } from '../types.ts';
import { Datagrams } from './datagrams.ts';
import { Gate } from './gate.ts';
import { Helper, insideFolder } from './helper.ts';
import { InnerFlows } from './inner-flows.ts';
import { endLeftovers } from './leftovers.ts';
import { Mirrors } from './mirrors.ts';
import { namespaceReason } from './probe.ts';
import { findCommand, findPrograms, PACKAGES } from './programs.ts';
import { harmlessMounts, helperTask, type Mount, OWN_ADDRESS } from './task.ts';

export interface NamespaceOptions {
  readonly egress: Egress;
  readonly resolver: Resolver;
  readonly log: Log;
  /** Directories (or files) that appear inside, read-only, at their target. */
  readonly mounts?: readonly Mount[];
  /** A port that the command listens on and that somebody else has on the laptop: told once. */
  readonly onPortTaken?: (address: string, port: number, code: string) => void;
}

export interface NamespaceInside extends Inside {
  readonly mode: 'namespace';
  readonly ports: InnerPorts;
  /** What could not be mounted, in words. */
  readonly warnings: readonly string[];
  /** When the namespace was lost, with what the helper said last; also after close(). */
  readonly ended: Promise<string>;
  /**
   * Like Inside.wrap; `path` is the PATH that the command will have, by default the session's own.
   * @throws InterceptorError COMMAND_NOT_FOUND
   */
  wrap(argv: readonly string[], cwd: string, path?: string): readonly string[];
}

/**
 * A user, network and mount namespace for the command, made without root: everything it asks of the network comes to
 * `egress` and `resolver`, and what it listens on appears on the laptop's loopback addresses.
 * @throws Error whose message is the sentence of probeNamespace(), where that says it does not work
 */
export async function startNamespace(options: NamespaceOptions): Promise<NamespaceInside> {
  const { egress, resolver, log } = options;
  const programs = findPrograms(process.env.PATH ?? '');
  if ('missing' in programs)
    throw new Error(`${programs.missing} is not installed; package ${PACKAGES[programs.missing]}`);
  const { mounts, warnings } = harmlessMounts(options.mounts ?? [], [process.cwd(), homedir()]);
  const helper = await startHelper(programs, await helperTask(programs, resolver, mounts));
  const inject = (flow: readonly string[], datagram: Buffer): void => helper.send(['udp', ...flow], datagram, true);
  const innerFlows = new InnerFlows(inject);
  const mirrors = new Mirrors({
    pid: helper.pid,
    ownAddress: OWN_ADDRESS,
    log,
    listeners: () => helper.listeners(),
    connect: (address, port) => connectInside(helper, address, port),
    inject,
    onTaken: (address, port, code) => {
      log.debug('port of the command not mirrored', { address, port, code });
      options.onPortTaken?.(address, port, code);
    },
  });
  const gate = new Gate({
    egress,
    log,
    answer: (flow, verdict) => helper.send(['verdict', flow, verdict]),
    refuses: (address, port) => mirrors.has(address, port),
  });
  const datagrams = new Datagrams({
    egress,
    log,
    answer: (flow, datagram) => helper.send(['udp', ...reversed(flow)], datagram, true),
    unreachable: (flow) => helper.send(['unreachable', ...flow]),
  });
  const dns = new DnsServer({ resolver });
  const { acceptors, dnsServer, dnsSocket } = helper.sockets;
  dns.serve({ udp: [dnsSocket], tcp: [dnsServer] });
  for (const acceptor of acceptors) gate.serve(acceptor);
  helper.onFrame = ({ words: [kind, ...flow], payload }) => {
    if (kind === 'syn') gate.onSyn(flow);
    else if (kind === 'udp' && !innerFlows.onDatagram(flow, payload) && !mirrors.onDatagram(flow, payload))
      datagrams.onDatagram(flow, payload);
  };
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const left = await endLeftovers(helper.pid);
    if (left.length > 0) log.info('ended what the command left behind', { pids: left.join(' ') });
    gate.close();
    datagrams.close();
    innerFlows.close();
    for (const acceptor of acceptors) acceptor.close();
    await Promise.all([mirrors.close(), dns.close(), helper.close()]);
  };
  return {
    mode: 'namespace',
    variables: {},
    ports: {
      listensOn: (port, protocol) => mirrors.listensOn(port, protocol) !== undefined,
      connect: (port) => connectInside(helper, mirrors.listensOn(port) ?? '127.0.0.1', port),
      openUdp: (port) => {
        const address = mirrors.listensOn(port, 'udp');
        if (address === undefined) throw Object.assign(new Error('nothing is bound'), { code: 'ECONNREFUSED' });
        return innerFlows.open(address, port);
      },
      mirrors: (address, port, protocol) => mirrors.has(address, port, protocol),
    },
    warnings: [...warnings, ...helper.warnings],
    ended: helper.ended,
    wrap: (argv, cwd, path = process.env.PATH ?? '') => {
      requireCommand(argv[0] ?? '', path, cwd, mounts);
      return [programs.python3, '-I', '-S', '-B', `${insideFolder()}/enter.py`, String(helper.pid), cwd, ...argv];
    },
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

async function startHelper(...[programs, task]: Parameters<typeof Helper.start>): Promise<Helper> {
  try {
    return await Helper.start(programs, task);
  } catch (cause) {
    throw new Error(await namespaceReason(cause), { cause });
  }
}

/** A wildcard listener for IPv6 alone looks like one for both. */
async function connectInside(helper: Helper, address: string, port: number): Promise<Socket> {
  try {
    return await helper.connect(address, port);
  } catch (cause) {
    if (address !== '127.0.0.1' || systemErrorCode(cause) !== 'ECONNREFUSED') throw cause;
    return await helper.connect('::1', port);
  }
}

function reversed([source = '', sourcePort = '', target = '', targetPort = '']: readonly string[]): string[] {
  return [target, targetPort, source, sourcePort];
}

/** What is mounted from the pod exists only inside: enter.py tells. */
function requireCommand(file: string, path: string, cwd: string, mounts: readonly Mount[]): void {
  if (mounts.some(({ target }) => file.startsWith(`${target}/`)) || findCommand(file, path, cwd) !== undefined) return;
  throw new InterceptorError('COMMAND_NOT_FOUND', `cannot start "${file}": not found`);
}
