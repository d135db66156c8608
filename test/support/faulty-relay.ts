import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from 'node:net';
import { RelayPipe } from './relay-pipe.ts';

/** What happens to connections after so many bytes. */
export type RelayEnd = 'cut' | 'reset' | 'freeze' | 'stall';

/** What a network can do to TCP connections. Faults hold for connections that are open and for those that come later. */
export interface Relay {
  readonly address: string;
  readonly port: number;
  /** Holds every byte (and FIN) back for so long, in each direction; 0 ends it. */
  setDelay(delayMs: number): void;
  /** Nothing passes any more in either direction, nothing is closed; new connections are accepted and stay silent. */
  stall(): void;
  /** Ends stall(): what was held back goes on. */
  resume(): void;
  /** Ends every open connection with FIN at both ends; what is under way is lost. New connections work. */
  cut(): void;
  /** Ends every open connection with RST at both ends. New connections work. */
  reset(): void;
  /**
   * Nothing passes any more on the connections that are open, for good, and nothing is closed: half-dead, as when a router
   * forgets them. New connections work.
   */
  freeze(): void;
  /**
   * Once `bytes` more bytes have passed (both directions, all connections together), does this, once; 0 takes it back.
   * @returns whether an earlier one was still to come
   */
  cutAfterBytes(bytes: number, how?: RelayEnd): boolean;
  /** At most so many bytes a second in each direction of each connection; undefined ends it. */
  trickle(bytesPerSecond: number | undefined): void;
  /** While true, connecting fails with ECONNREFUSED; open connections go on. */
  refuse(refused: boolean): Promise<void>;
  /** Open connections from clients. */
  connections(): number;
  /** Bytes passed on since the start: `up` from clients to the target, `down` back. */
  bytes(): { up: number; down: number };
  /** Resets what is open and stops listening. May be called twice. */
  close(): Promise<void>;
}

/** Listens on `listenHost` and passes every connection on to the target; half-close and reset pass through, too. */
export async function startRelay(
  target: { host: string; port: number },
  listen: { host?: string; port?: number } = {},
): Promise<Relay> {
  const relay = new TcpRelay(target, listen.host ?? '127.0.0.1');
  await relay.listen(listen.port ?? 0);
  return relay;
}

/** Faults as the pipes read them, shared by every connection of a relay. */
export interface RelayFaults {
  delayMs: number;
  stalled: boolean;
  bytesPerSecond: number | undefined;
}

interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: RelayPipe;
  readonly down: RelayPipe;
}

class TcpRelay implements Relay {
  readonly address: string;
  port = 0;
  readonly #target: { host: string; port: number };
  readonly #faults: RelayFaults = { delayMs: 0, stalled: false, bytesPerSecond: undefined };
  readonly #connections = new Set<Connection>();
  readonly #passed = { up: 0, down: 0 };
  #server: Server | undefined;
  #cutAfter: { bytes: number; how: RelayEnd } | undefined;

  constructor(target: { host: string; port: number }, address: string) {
    this.#target = target;
    this.address = address;
  }

  async listen(port: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    server.listen({ host: this.address, port });
    await once(server, 'listening');
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  setDelay(delayMs: number): void {
    this.#faults.delayMs = delayMs;
    this.#wake();
  }

  stall(): void {
    this.#faults.stalled = true;
  }

  resume(): void {
    this.#faults.stalled = false;
    this.#wake();
  }

  cut(): void {
    for (const connection of [...this.#connections]) {
      for (const pipe of [connection.up, connection.down]) pipe.stop();
      for (const socket of [connection.client, connection.server]) endDiscarding(socket);
    }
  }

  reset(): void {
    for (const connection of [...this.#connections]) this.#resetConnection(connection);
  }

  freeze(): void {
    for (const connection of this.#connections) {
      for (const pipe of [connection.up, connection.down]) pipe.stop();
      for (const socket of [connection.client, connection.server]) socket.pause();
    }
  }

  cutAfterBytes(bytes: number, how: RelayEnd = 'cut'): boolean {
    const isPending = this.#cutAfter !== undefined;
    this.#cutAfter = bytes > 0 ? { bytes, how } : undefined;
    return isPending;
  }

  trickle(bytesPerSecond: number | undefined): void {
    this.#faults.bytesPerSecond = bytesPerSecond;
    this.#wake();
  }

  async refuse(refused: boolean): Promise<void> {
    if (!refused && this.#server === undefined) await this.listen(this.port);
    if (!refused) return;
    this.#server?.close(); // stops listening at once; its callback would wait for the open connections
    this.#server = undefined;
  }

  connections(): number {
    return this.#connections.size;
  }

  bytes(): { up: number; down: number } {
    return { ...this.#passed };
  }

  async close(): Promise<void> {
    await this.refuse(true);
    this.reset();
  }

  #accept(client: Socket): void {
    const server = createConnection({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const pipe = (from: Socket, to: Socket, direction: 'up' | 'down') =>
      new RelayPipe(from, to, this.#faults, (bytes) => this.#take(bytes, direction));
    const connection = { client, server, up: pipe(client, server, 'up'), down: pipe(server, client, 'down') };
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.on('error', () => this.#resetConnection(connection)); // ECONNRESET, or the target refuses: pass it on
      socket.once('close', () => {
        if (client.destroyed && server.destroyed) this.#connections.delete(connection);
      });
    }
  }

  #resetConnection(connection: Connection): void {
    for (const pipe of [connection.up, connection.down]) pipe.stop();
    for (const socket of [connection.client, connection.server]) socket.resetAndDestroy();
    this.#connections.delete(connection);
  }

  /** Says how many of the next bytes may pass, and cuts when that was the last of them. */
  #take(bytes: number, direction: 'up' | 'down'): number {
    const limit = this.#cutAfter;
    const allowed = limit === undefined ? bytes : Math.min(bytes, limit.bytes);
    this.#passed[direction] += allowed;
    if (limit === undefined) return allowed;
    limit.bytes -= allowed;
    if (limit.bytes > 0) return allowed;
    this.#cutAfter = undefined;
    if (limit.how === 'stall') this.stall();
    else queueMicrotask(() => this[limit.how]()); // after the caller has written them
    return allowed;
  }

  #wake(): void {
    for (const { up, down } of this.#connections) for (const pipe of [up, down]) pipe.wake();
  }
}

/** Sends FIN, drops what still comes, and gives the peer a second to end its side. */
function endDiscarding(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), 1000);
  if (socket.readableEnded) socket.destroySoon();
  else socket.once('end', () => socket.destroySoon());
  socket.once('close', () => clearTimeout(timer));
}
