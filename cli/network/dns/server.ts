import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server } from 'node:net';
import { unreadableReply } from '../../../src/dns/make.ts';
import { HEADER_BYTES, RCODE } from '../../../src/dns/message.ts';
import { errorText } from '../../../src/errors.ts';
import { type Log, silentLog } from '../../../src/log.ts';
import type { Resolver } from '../types.ts';
import { TcpClients, type TcpLimits } from './server-tcp.ts';

export type AnswerSource = Pick<Resolver, 'answer'>;

export interface DnsServerOptions {
  readonly resolver: AnswerSource;
  readonly log?: Log;
  readonly limits?: Partial<DnsServerLimits>;
}

export interface DnsServerLimits extends TcpLimits {
  /** Questions over UDP that wait for an answer; one more is dropped, and asked again by its asker. */
  readonly maxUdpInFlight: number;
}

const LIMITS: DnsServerLimits = {
  maxUdpInFlight: 4096,
  maxConnections: 256,
  maxConnectionInFlight: 128,
  idleTimeoutMs: 20_000,
};

const RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** Ephemeral UDP port taken where the TCP one was free: try another pair. */
const PORT_TRIES = 10;

/**
 * A DNS server over UDP and TCP: hands each message to the resolver and sends back what it makes of it. Answers are never
 * answered (the resolver gives nothing for them), so two servers cannot keep each other busy.
 */
export class DnsServer {
  readonly #source: AnswerSource;
  readonly #limits: DnsServerLimits;
  readonly #clients: TcpClients;
  readonly #udp = new Set<UdpSocket>();
  readonly #tcp = new Set<Server>();
  #udpInFlight = 0;
  #closing: Promise<void> | undefined;

  constructor({ resolver, limits, log = silentLog }: DnsServerOptions) {
    this.#source = neverRejecting(resolver, log);
    this.#limits = { ...LIMITS, ...limits };
    this.#clients = new TcpClients(this.#source, this.#limits);
  }

  /**
   * Listens on an address, UDP and TCP on the same port.
   * @param port 0 stands for one that is free
   * @returns the port
   * @throws Error EADDRINUSE, EACCES, EADDRNOTAVAIL
   */
  async listen(address: string, port: number): Promise<number> {
    for (let tries = port === 0 ? PORT_TRIES : 1; ; tries--) {
      const tcp = createServer({ allowHalfOpen: true });
      tcp.listen(port, address);
      await once(tcp, 'listening');
      const bound = tcp.address();
      const chosen = typeof bound === 'object' && bound !== null ? bound.port : port;
      const udp = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      try {
        udp.bind(chosen, address);
        await once(udp, 'listening');
        this.serve({ udp: [udp], tcp: [tcp] });
        return chosen;
      } catch (error) {
        udp.close();
        tcp.close();
        if (tries <= 1) throw error;
      }
    }
  }

  /** Takes over sockets that are open and bound already, and closes them at the end. */
  serve({ udp = [], tcp = [] }: { readonly udp?: readonly UdpSocket[]; readonly tcp?: readonly Server[] }): void {
    for (const socket of udp) {
      this.#udp.add(socket);
      // Linux gives room for some 270 questions by default, twice that when asked for more: 500 lookups at once fit.
      try {
        socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      } catch {
        // ERR_SOCKET_BUFFER_SIZE: the system allows less (BSD refuses where Linux takes what it may)
      }
      socket.on('error', () => {}); // of one datagram; the socket goes on
      socket.on('message', (message, from) => {
        void this.#answer(socket, message, from.address, from.port);
      });
    }
    for (const server of tcp) {
      this.#tcp.add(server);
      server.on('error', () => {}); // EMFILE on accept: that connection waits
      server.on('connection', (connection) => this.#clients.add(connection));
    }
  }

  stats(): { readonly udpInFlight: number; readonly connections: number } {
    return { udpInFlight: this.#udpInFlight, connections: this.#clients.size };
  }

  /** Closes all sockets, those taken over too; answers under way are dropped. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = [...this.#udp].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve())));
    const ended = [...this.#tcp].map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    this.#udp.clear();
    this.#tcp.clear();
    await Promise.all([...closed, ...ended, this.#clients.close()]);
  }

  async #answer(socket: UdpSocket, message: Buffer, address: string, port: number): Promise<void> {
    if (this.#udpInFlight >= this.#limits.maxUdpInFlight || port === 0) return;
    this.#udpInFlight += 1;
    const answer = await this.#source.answer(message, 'udp');
    this.#udpInFlight -= 1;
    if (answer.length > 0 && this.#udp.has(socket)) socket.send(answer, port, address, () => {}); // lost: asked again
  }
}

/** A question that brings out a bug is answered with SERVFAIL: it must not end the session, and with it all that runs. */
function neverRejecting(source: AnswerSource, log: Log): AnswerSource {
  return {
    answer: async (message, via) => {
      try {
        return await source.answer(message, via);
      } catch (error) {
        log.error('a DNS question failed', { reason: errorText(error) });
        return message.length < HEADER_BYTES ? Buffer.alloc(0) : unreadableReply(message, RCODE.SERVFAIL);
      }
    },
  };
}
