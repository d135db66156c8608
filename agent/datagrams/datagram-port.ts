import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isIPv6 } from 'node:net';
import { errorText, systemErrorCode } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { Claim } from '../claim.ts';
import type { LaptopCarrier } from '../laptop-way.ts';
import { MAX_DATAGRAM_FLOWS, MAX_UDP_UNSENT_BYTES } from '../limits.ts';
import { plainAddress } from '../sides.ts';
import { Flow } from './flow.ts';

export interface DatagramPortOptions {
  /** 0 for any free one. */
  readonly port: number;
  readonly appPort: number;
  readonly podIp: string;
  readonly app: 'present' | 'replaced';
  /** Who has the app port now. */
  readonly claim: () => Claim<LaptopCarrier> | undefined;
  /** What a datagram that asks for a proof is answered; undefined: it is a client's. */
  readonly proofAnswer: (datagram: Buffer) => string | undefined;
  readonly log: Log;
  readonly idleMs?: number;
  readonly maxFlows?: number;
}

/** A route port of UDP: each client's address and port is a flow of its own. */
export class DatagramPort {
  readonly #options: DatagramPortOptions;
  readonly #socket: Socket;
  /** The one that was silent for longest comes first. */
  readonly #flows = new Map<string, Flow>();
  #closed = false;

  /** Use listenForDatagrams. */
  constructor(socket: Socket, options: DatagramPortOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on('message', (datagram, from) => this.#take(datagram, from));
    socket.on('error', (failure) => options.log.warn('datagram port', { reason: errorText(failure) }));
  }

  /** The port it is bound to. */
  get port(): number {
    return this.#socket.address().port;
  }

  get flows(): number {
    return this.#flows.size;
  }

  /** Claims have changed. */
  recheck(): void {
    for (const flow of this.#flows.values()) flow.recheck();
  }

  /** Takes no more, and ends all flows. May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const flow of [...this.#flows.values()]) flow.close();
    this.#socket.close();
  }

  #take(datagram: Buffer, from: RemoteInfo): void {
    const proof = this.#options.proofAnswer(datagram);
    if (proof !== undefined) {
      this.#socket.send(proof, from.port, from.address, () => {}); // lost: asked again
      return;
    }
    const key = `${from.address} ${from.port}`;
    const flow = this.#flows.get(key) ?? this.#begin(key, from);
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    flow.push(datagram);
  }

  #begin(key: string, { address, port }: RemoteInfo): Flow {
    const { appPort, claim, log, idleMs, maxFlows = MAX_DATAGRAM_FLOWS } = this.#options;
    if (this.#flows.size >= maxFlows) {
      const [oldest] = this.#flows.values();
      oldest?.close();
    }
    return new Flow(
      {
        claim,
        openLaptop: (holder) => {
          try {
            return holder.carrierOrSoon?.open({ kind: 'datagrams', port: appPort, host: plainAddress(address) });
          } catch (failure) {
            log.debug('no stream of datagrams to the laptop', { appPort, reason: errorText(failure) });
            return undefined;
          }
        },
        dialApp: () => this.#dialApp(),
        answer: (datagram) => {
          if (this.#socket.getSendQueueSize() > MAX_UDP_UNSENT_BYTES) return;
          this.#socket.send(datagram, port, address, () => {}); // lost, as in a network
        },
        onOver: () => this.#flows.delete(key),
      },
      idleMs,
    );
  }

  #dialApp(): Socket | undefined {
    const { podIp, appPort, app } = this.#options;
    if (app === 'replaced') return undefined;
    const socket = createSocket(isIPv6(podIp) ? 'udp6' : 'udp4');
    socket.connect(appPort, podIp);
    return socket;
  }
}

/**
 * Listens for datagrams on all addresses of the pod.
 * @throws the system's error (EADDRINUSE) when the port cannot be bound
 */
export async function listenForDatagrams(options: DatagramPortOptions): Promise<DatagramPort> {
  try {
    return new DatagramPort(await bind('udp6', options.port), options);
  } catch (failure) {
    const code = systemErrorCode(failure);
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw failure; // a kernel without IPv6
    return new DatagramPort(await bind('udp4', options.port), options);
  }
}

async function bind(type: 'udp4' | 'udp6', port: number): Promise<Socket> {
  const socket = createSocket(type);
  try {
    socket.bind(port);
    await once(socket, 'listening');
    return socket;
  } catch (failure) {
    socket.close();
    throw failure;
  }
}
