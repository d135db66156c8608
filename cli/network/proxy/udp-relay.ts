import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Egress, UdpFlow } from '../types.ts';
import { MAX_FLOWS_PER_RELAY } from './limits.ts';
import { readDatagram, writeDatagram } from './socks-messages.ts';

const HOST = '127.0.0.1';

/** Datagrams of one client behind SOCKS5's header (RFC 1928 §7), each destination a flow of its own. */
export class UdpRelay {
  readonly port: number;
  readonly #socket: Socket;
  readonly #egress: Pick<Egress, 'openUdp'>;
  /** The client's port; the first one that sends where it was not told. */
  #clientPort: number | undefined;
  readonly #flows = new Map<string, UdpFlow>();
  readonly #onClose: () => void;
  readonly #mayBegin: (port: number) => boolean;
  #closed = false;

  private constructor(
    socket: Socket,
    egress: Pick<Egress, 'openUdp'>,
    clientPort: number | undefined,
    onClose: () => void,
    mayBegin: (port: number) => boolean,
  ) {
    this.#onClose = onClose;
    this.#mayBegin = mayBegin;
    this.#socket = socket;
    this.#egress = egress;
    this.#clientPort = clientPort;
    this.port = socket.address().port;
    socket.on('error', () => {}); // of one datagram
    socket.on('message', (message, { address, port }) => {
      if (address === HOST) this.#take(message, port);
    });
  }

  /**
   * @param clientPort where the client's datagrams come from, as far as it knows by now
   * @param mayBegin whether the first one, where it does not, may come from this port: the relay leads into the cluster
   */
  static async open(
    egress: Pick<Egress, 'openUdp'>,
    clientPort: number | undefined,
    onClose: () => void,
    mayBegin: (port: number) => boolean = () => true,
  ): Promise<UdpRelay> {
    const socket = createSocket('udp4');
    socket.bind(0, HOST);
    await once(socket, 'listening');
    return new UdpRelay(socket, egress, clientPort, onClose, mayBegin);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const flow of this.#flows.values()) flow.close();
    this.#flows.clear();
    this.#socket.close();
    this.#onClose();
  }

  #take(message: Buffer, port: number): void {
    if (this.#clientPort === undefined && this.#mayBegin(port)) this.#clientPort = port;
    if (port !== this.#clientPort) return;
    const datagram = readDatagram(message);
    if (datagram === undefined) return;
    const { destination, data } = datagram;
    const key = `${destination.host} ${destination.port}`;
    const flow = this.#flows.get(key) ?? this.#open(key, destination.host, destination.port);
    if (flow === undefined) return;
    this.#flows.delete(key);
    this.#flows.set(key, flow); // used last
    flow.send(data);
  }

  #open(key: string, host: string, port: number): UdpFlow | undefined {
    for (const [oldest, flow] of this.#flows) {
      if (this.#flows.size < MAX_FLOWS_PER_RELAY) break;
      this.#flows.delete(oldest);
      flow.close();
    }
    try {
      const flow = this.#egress.openUdp(host, port);
      flow.onMessage = (data) => {
        if (!this.#closed) this.#socket.send(writeDatagram({ host, port }, data), this.#clientPort, HOST, () => {});
      };
      flow.onClose = () => this.#flows.delete(key);
      return flow;
    } catch {
      return undefined; // DialError: no way there; a network drops it
    }
  }
}
