import { readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { AbortGroup } from '../../../src/abort-group.ts';
import { systemErrorCode } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { splice } from '../../../src/net/splice.ts';
import {
  type ListeningSocket,
  type MirrorAddresses,
  mirrorAddresses,
  parseListeningSockets,
} from './listening-sockets.ts';
import { UdpMirror } from './udp-mirror.ts';

const POLL_MS = 100;
/** After a while without a change; one reading costs about 0.1 ms. */
const QUIET_POLL_MS = 250;
const QUIET_AFTER_POLLS = 100;
const MAX_MIRRORS = 512;
/** Where callers of the laptop look for a server. */
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1']);

/** What should be on the laptop. */
interface Wanted extends MirrorAddresses {
  readonly kind: ListeningSocket['kind'];
  readonly port: number;
  /** Of a socket on both 127.0.0.1 and ::1, the second: nobody misses it. */
  readonly second: boolean;
}

interface Mirror {
  readonly outside: string;
  readonly port: number;
  close(): void;
}

export interface MirrorOptions {
  /** A process inside, whose /proc/<pid>/net is read. */
  readonly pid: number;
  readonly ownAddress: string;
  readonly log: Log;
  /** TCP sockets inside that wait for peers; undefined: to be read from /proc, where it costs a hundred times as much. */
  listeners(): Promise<readonly ListeningSocket[] | undefined>;
  /** Connects to what listens inside. */
  connect(address: string, port: number): Promise<Socket>;
  /** Puts a datagram on the inner loopback device, as sent from `source`. */
  inject(flow: readonly string[], datagram: Buffer): void;
  /** A port of the laptop that somebody else has; once for each. */
  onTaken(address: string, port: number, code: string): void;
}

/** What the command listens on appears on the laptop's loopback addresses, under the same port, as long as it listens. */
export class Mirrors {
  readonly #options: MirrorOptions;
  readonly #mirrors = new Map<string, Mirror>();
  readonly #taken = new Set<string>();
  /** `tcp 80`, and an address inside at which it is reached. */
  #listening: ReadonlyMap<string, string> = new Map();
  readonly #connections = new AbortGroup();
  #timer: NodeJS.Timeout | undefined;
  #quietPolls = 0;
  #polling: Promise<void> = Promise.resolve();

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#next();
  }

  /** Whether what is sent to this address of the laptop would come back to us. */
  has(address: string, port: number, protocol: ListeningSocket['kind'] = 'tcp'): boolean {
    return this.#mirrors.has(`${protocol} ${address} ${port}`);
  }

  /**
   * Whether the command listens on a port, mirrored or not; at most QUIET_POLL_MS old.
   * @returns the address inside to reach it at
   */
  listensOn(port: number, protocol: ListeningSocket['kind'] = 'tcp'): string | undefined {
    return this.#listening.get(`${protocol} ${port}`);
  }

  /** An answer to a datagram that came through a mirror; false when it is none. */
  onDatagram(flow: readonly string[], payload: Buffer): boolean {
    for (const mirror of this.#mirrors.values()) {
      if (mirror instanceof UdpMirror && mirror.answer(flow, payload)) return true;
    }
    return false;
  }

  /** Closes all mirrors and the connections through them. */
  async close(): Promise<void> {
    this.#connections.abort(new Error('the session has ended'));
    clearTimeout(this.#timer);
    await this.#polling;
    for (const mirror of this.#mirrors.values()) mirror.close();
    this.#mirrors.clear();
  }

  #next(): void {
    const delay = this.#quietPolls < QUIET_AFTER_POLLS ? POLL_MS : QUIET_POLL_MS;
    this.#timer = setTimeout(() => {
      this.#polling = this.#poll();
    }, delay);
  }

  async #poll(): Promise<void> {
    const changed = await this.#compare().catch(() => {
      this.#listening = new Map(); // ENOENT: the helper has ended; close() comes
      return false;
    });
    this.#quietPolls = changed ? 0 : this.#quietPolls + 1;
    if (!this.#connections.aborted) this.#next();
  }

  async #compare(): Promise<boolean> {
    const wanted = new Map<string, Wanted>();
    const listening = new Map<string, string>();
    for (const socket of await this.#read()) {
      const { kind, port } = socket;
      // An unbound client's UDP socket looks like a server's; its port is an ephemeral one.
      const isMirrored = kind === 'tcp' || port < FIRST_EPHEMERAL_PORT;
      for (const [index, addresses] of mirrorAddresses(socket, this.#options.ownAddress).entries()) {
        const key = `${kind} ${addresses.outside} ${port}`;
        if (isMirrored && !wanted.has(key)) wanted.set(key, { ...addresses, kind, port, second: index > 0 });
        const known = listening.has(`${kind} ${port}`);
        if (LOOPBACK.has(addresses.outside) && !known) listening.set(`${kind} ${port}`, addresses.inside);
      }
    }
    this.#listening = listening;
    let changed = false;
    for (const [key, mirror] of this.#mirrors) {
      if (wanted.has(key)) continue;
      mirror.close();
      this.#mirrors.delete(key);
      changed = true;
    }
    for (const key of this.#taken) if (!wanted.has(key)) this.#taken.delete(key);
    for (const [key, mirror] of wanted) {
      if (this.#mirrors.has(key) || this.#taken.has(key) || this.#mirrors.size >= MAX_MIRRORS) continue;
      if (await this.#open(key, mirror)) changed = true;
    }
    return changed;
  }

  async #read(): Promise<ListeningSocket[]> {
    const folder = `/proc/${this.#options.pid}/net`;
    const [tcp, udp, udp6] = await Promise.all([
      this.#options.listeners(),
      readFile(`${folder}/udp`, 'latin1'),
      readFile(`${folder}/udp6`, 'latin1').catch(() => ''),
    ]);
    return [
      ...(tcp ?? (await readTcpListeners(folder))),
      ...parseListeningSockets(udp, 'udp'),
      ...parseListeningSockets(udp6, 'udp'),
    ];
  }

  async #open(key: string, { kind, inside, outside, port, second }: Wanted): Promise<boolean> {
    try {
      const mirror =
        kind === 'udp'
          ? await UdpMirror.open(inside, outside, port, this.#options.inject)
          : await this.#openTcp(inside, outside, port);
      if (this.#connections.aborted) mirror.close();
      else this.#mirrors.set(key, mirror);
      this.#options.log.debug('port mirrored', { kind, address: outside, port });
      return true;
    } catch (cause) {
      this.#taken.add(key);
      if (kind === 'tcp' && !second) this.#options.onTaken(outside, port, systemErrorCode(cause) ?? 'EIO');
      return false;
    }
  }

  async #openTcp(inside: string, outside: string, port: number): Promise<Mirror> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.on('connection', (socket) => {
      void this.#connections.run((signal) => this.#join(socket, inside, port, signal));
    });
    await listen(server, outside, port);
    server.on('error', () => {}); // EMFILE on accept: that connection waits
    return { outside, port, close: () => server.close() };
  }

  async #join(socket: Socket, inside: string, port: number, signal: AbortSignal): Promise<void> {
    socket.on('error', () => {}); // until it is joined
    try {
      await splice(socket, await this.#options.connect(inside, port), signal);
    } catch {
      socket.resetAndDestroy(); // nobody listens any more, or a peer has reset
    }
  }
}

/** net.ipv4.ip_local_port_range of a new network namespace begins here. */
const FIRST_EPHEMERAL_PORT = 32_768;

async function readTcpListeners(folder: string): Promise<ListeningSocket[]> {
  const tcp = await readFile(`${folder}/tcp`, 'latin1');
  const tcp6 = await readFile(`${folder}/tcp6`, 'latin1').catch(() => ''); // a kernel without IPv6
  return [tcp, tcp6].flatMap((table) => parseListeningSockets(table, 'tcp'));
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
