import { createSocket, type Socket } from 'node:dgram';

/** Where mirrored datagrams seem to come from inside: nobody else has it, so answers to it are ours. */
const CLIENT_ADDRESS = { 4: '127.127.0.1', 6: '::1' } as const;
const MAX_CLIENTS = 256;

/** A UDP port of the laptop whose datagrams go to a socket inside. Clients keep their port number. */
export class UdpMirror {
  readonly outside: string;
  readonly port: number;
  readonly #inside: string;
  readonly #socket: Socket;
  /** Addresses on the laptop by port. */
  readonly #clients = new Map<number, string>();

  private constructor(socket: Socket, inside: string, outside: string, port: number) {
    this.#socket = socket;
    this.#inside = inside;
    this.outside = outside;
    this.port = port;
  }

  /** @throws Error EADDRINUSE, EACCES */
  static async open(
    inside: string,
    outside: string,
    port: number,
    inject: (flow: readonly string[], datagram: Buffer) => void,
  ): Promise<UdpMirror> {
    const socket = createSocket(outside.includes(':') ? 'udp6' : 'udp4');
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => {
        socket.close();
        reject(error);
      });
      socket.bind({ address: outside, port, exclusive: true }, resolve);
    });
    socket.removeAllListeners('error').on('error', () => {}); // of one datagram; the socket goes on
    const mirror = new UdpMirror(socket, inside, outside, port);
    socket.on('message', (datagram, from) => {
      mirror.#remember(from.port, from.address);
      inject([mirror.#clientAddress, String(from.port), inside, String(port)], datagram);
    });
    return mirror;
  }

  /** @returns whether the datagram is an answer to one of ours; then it was sent */
  answer([source, sourcePort, target, targetPort]: readonly string[], payload: Buffer): boolean {
    if (source !== this.#inside || Number(sourcePort) !== this.port || target !== this.#clientAddress) return false;
    const client = this.#clients.get(Number(targetPort));
    if (client !== undefined) this.#socket.send(payload, Number(targetPort), client, () => {});
    return client !== undefined;
  }

  close(): void {
    this.#socket.close();
  }

  get #clientAddress(): string {
    return CLIENT_ADDRESS[this.#inside.includes(':') ? 6 : 4];
  }

  #remember(port: number, address: string): void {
    const [oldest] = this.#clients.keys();
    if (this.#clients.size >= MAX_CLIENTS && oldest !== undefined) this.#clients.delete(oldest);
    this.#clients.delete(port);
    this.#clients.set(port, address);
  }
}
