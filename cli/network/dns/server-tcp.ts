import { once } from 'node:events';
import type { Socket } from 'node:net';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';
import type { Resolver } from '../types.ts';

export interface TcpLimits {
  /** One more is closed at once. */
  readonly maxConnections: number;
  /** Questions of one connection that wait for an answer; it is not read meanwhile. */
  readonly maxConnectionInFlight: number;
  /** A connection without a question, or one that does not take its answers, is closed (RFC 7766 §6.2.3). */
  readonly idleTimeoutMs: number;
}

/** DNS over TCP: many questions on a connection, answered as soon as each is known (RFC 7766 §6.2.1.1). */
export class TcpClients {
  readonly #resolver: Pick<Resolver, 'answer'>;
  readonly #limits: TcpLimits;
  readonly #sockets = new Set<Socket>();

  constructor(resolver: Pick<Resolver, 'answer'>, limits: TcpLimits) {
    this.#resolver = resolver;
    this.#limits = limits;
  }

  get size(): number {
    return this.#sockets.size;
  }

  add(socket: Socket): void {
    socket.on('error', () => {}); // ECONNRESET: 'close' follows
    if (this.#sockets.size >= this.#limits.maxConnections) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.setNoDelay(true);
    socket.allowHalfOpen = true; // whatever the server that was handed over says: a client may end behind its last question
    const reader = new LengthPrefixReader();
    let inFlight = 0;
    let ended = false;
    // Questions under way are no idleness: they have the resolver's deadline.
    socket.setTimeout(this.#limits.idleTimeoutMs, () => {
      if (inFlight === 0 || socket.writableLength > 0) socket.destroy();
    });
    const flow = (): void => {
      if (inFlight < this.#limits.maxConnectionInFlight && !socket.writableNeedDrain) socket.resume();
      else socket.pause();
      if (ended && inFlight === 0) socket.end();
    };
    const answer = async (message: Buffer): Promise<void> => {
      inFlight += 1;
      const reply = await this.#resolver.answer(message, 'tcp');
      inFlight -= 1;
      if (socket.destroyed) return;
      if (reply.length === 0)
        socket.destroy(); // not a DNS client
      else socket.write(withLength(reply));
      flow();
    };
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) void answer(message);
      flow();
    });
    socket.on('drain', flow);
    socket.on('end', () => {
      ended = true;
      flow();
    });
  }

  async close(): Promise<void> {
    const closed = [...this.#sockets].map((socket) => {
      const done = once(socket, 'close');
      socket.destroy();
      return done;
    });
    await Promise.all(closed);
  }
}
