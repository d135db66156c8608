import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { AbortGroup } from '../../../src/abort-group.ts';
import type { Log } from '../../../src/log.ts';
import { closeAfterFailedReset } from '../../../src/net/failed-reset.ts';
import { TaskGroup } from '../../../src/task-group.ts';
import { TcpClients } from '../dns/server-tcp.ts';
import type { Egress, Resolver } from '../types.ts';
import { Access, ownUids, type ProxyCredentials } from './access.ts';
import { readSome } from './byte-reader.ts';
import { HttpForward } from './http-forward.ts';
import { join, type ProxyContext } from './join.ts';
import { HANDSHAKE_DEADLINE_MS, MAX_CONNECTIONS, MAX_UDP_RELAYS } from './limits.ts';
import { peerUid } from './peer-uid.ts';
import { SOCKS4_VERSION, SOCKS5_VERSION } from './socks-messages.ts';
import { serveSocks4, serveSocks5 } from './socks-server.ts';
import { Tickets } from './tickets.ts';
import { UdpRelay } from './udp-relay.ts';

export const PROXY_HOST = '127.0.0.1';
const PORT_TRIES = 10;
/** A DNS question over TCP begins with its length, below 512 for all there are. */
const MAX_DNS_LENGTH_BYTE = 1;
const DNS_TCP_LIMITS = { maxConnections: 256, maxConnectionInFlight: 128, idleTimeoutMs: 20_000 };
const MAX_DNS_IN_FLIGHT = 1024;

export interface ProxyPortOptions {
  readonly egress: Egress;
  readonly resolver: Pick<Resolver, 'answer' | 'lookup'>;
  readonly credentials: ProxyCredentials;
  readonly log: Log;
  /** 0 for any free one. */
  readonly port?: number | undefined;
  /** Whose sockets may do without credentials; the session's own user's unless given. */
  readonly uids?: readonly number[] | undefined;
}

/**
 * One port of 127.0.0.1 that speaks SOCKS5, SOCKS4a, HTTP as a proxy, and DNS over UDP and TCP, told apart by the first
 * byte, and the private ways of the Node preload (control.ts, tickets.ts).
 */
export class ProxyPort {
  readonly port: number;
  readonly #server: Server;
  readonly #udp: UdpSocket;
  readonly #context: ProxyContext;
  readonly #http: HttpForward;
  readonly #dns: TcpClients;
  readonly #tasks = new TaskGroup();
  readonly #sockets = new Set<Socket>();
  #dnsInFlight = 0;
  #closing: Promise<void> | undefined;

  private constructor(server: Server, udp: UdpSocket, port: number, options: ProxyPortOptions) {
    this.#server = server;
    this.#udp = udp;
    this.port = port;
    let relays = 0;
    this.#context = {
      egress: options.egress,
      resolver: options.resolver,
      access: new Access(options.credentials, options.uids ?? ownUids()),
      tickets: new Tickets(),
      log: options.log,
      connections: new AbortGroup(),
      openRelay: async ({ remotePort = 0, localPort }, clientPort) => {
        if (relays >= MAX_UDP_RELAYS) return undefined;
        relays += 1;
        const owner = peerUid('tcp', remotePort, localPort);
        const onClose = (): void => {
          relays -= 1;
        };
        const mayBegin = (port: number): boolean => owner === undefined || peerUid('udp', port, undefined) === owner;
        return await UdpRelay.open(options.egress, clientPort, onClose, mayBegin);
      },
    };
    this.#http = new HttpForward(this.#context);
    this.#dns = new TcpClients(options.resolver, DNS_TCP_LIMITS);
    server.maxConnections = MAX_CONNECTIONS;
    server.on('error', () => {}); // EMFILE on accept: that connection waits
    server.on('connection', (socket) => this.#tasks.add(this.#serve(socket)));
    udp.on('error', () => {}); // of one datagram
    udp.on('message', (message, { port: from }) => void this.#answer(message, from));
  }

  /** @throws Error EADDRINUSE where a port was asked for */
  static async listen(options: ProxyPortOptions): Promise<ProxyPort> {
    const wanted = options.port ?? 0;
    for (let tries = wanted === 0 ? PORT_TRIES : 1; ; tries--) {
      const server = createServer({ allowHalfOpen: true, noDelay: true });
      server.listen(wanted, PROXY_HOST);
      await once(server, 'listening');
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : wanted;
      const udp = createSocket('udp4');
      try {
        udp.bind(port, PROXY_HOST);
        await once(udp, 'listening');
        return new ProxyPort(server, udp, port, options);
      } catch (error) {
        udp.close();
        server.close();
        if (tries <= 1) throw error;
      }
    }
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** Resets what is open; resolves when every socket is gone. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    this.#context.connections.abort(new Error('session ended'));
    this.#context.tickets.close();
    this.#http.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([
      ...closed,
      this.#dns.close(),
      new Promise((resolve) => this.#server.close(resolve)),
      new Promise<void>((resolve) => this.#udp.close(resolve)),
    ]);
    await this.#tasks.close();
  }

  /** Never rejects. */
  async #serve(socket: Socket): Promise<void> {
    closeAfterFailedReset(socket); // other errors: 'close' follows
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const announced = this.#context.tickets.take(socket.remotePort ?? 0);
    if (announced !== undefined) {
      await join(socket, announced, this.#context);
      return;
    }
    const timer = setTimeout(() => socket.destroy(), HANDSHAKE_DEADLINE_MS);
    const handshaken = (): void => clearTimeout(timer);
    socket.once('close', handshaken);
    try {
      await this.#dispatch(socket, await firstByte(socket), handshaken);
    } catch (error) {
      this.#context.log.debug('not a client of the proxy', { reason: String(error) });
      socket.destroy();
    }
  }

  async #dispatch(socket: Socket, first: number, handshaken: () => void): Promise<void> {
    if (first === SOCKS5_VERSION) await serveSocks5(socket, this.#context, handshaken);
    else if (first === SOCKS4_VERSION) await serveSocks4(socket, this.#context, handshaken);
    else if (first <= MAX_DNS_LENGTH_BYTE) {
      if (!this.#mayAsk('tcp', socket.remotePort, socket.localPort)) throw new Error('another user’s');
      handshaken();
      this.#dns.add(socket);
    } else if (first >= 0x41 && first <= 0x7a) {
      handshaken(); // it has deadlines of its own
      this.#http.take(socket);
    } else throw new Error(`first byte ${first}`);
  }

  /** Where the system does not say whose a socket is, all users may ask for names: names are no way in. */
  #mayAsk(protocol: 'tcp' | 'udp', peerPort: number | undefined, ownPort: number | undefined): boolean {
    return process.platform !== 'linux' || this.#context.access.byOwner(protocol, peerPort, ownPort);
  }

  async #answer(message: Buffer, from: number): Promise<void> {
    if (this.#dnsInFlight >= MAX_DNS_IN_FLIGHT || from === 0 || !this.#mayAsk('udp', from, undefined)) return;
    this.#dnsInFlight += 1;
    const answer = await this.#context.resolver.answer(message, 'udp');
    this.#dnsInFlight -= 1;
    if (answer.byteLength > 0 && this.#closing === undefined) this.#udp.send(answer, from, PROXY_HOST, () => {}); // lost: asked again
  }
}

/** The first byte of a connection, which stays in it. @throws Error when it ends before */
async function firstByte(socket: Socket): Promise<number> {
  const chunk = await readSome(socket);
  socket.unshift(chunk);
  return chunk[0] ?? 0;
}
