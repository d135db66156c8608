import type { Outgoing } from '../types.ts';
import { MAX_TICKETS, TICKET_MS } from './limits.ts';

/**
 * Connections that were dialled for a preload before it connects. It says from which port of 127.0.0.1 it will come, so what
 * comes from there is joined at once: not a byte of ours is in the connection, and TLS sockets need no handshake of ours.
 */
export class Tickets {
  readonly #byPort = new Map<number, { readonly outgoing: Outgoing; readonly timer: NodeJS.Timeout }>();

  get isFull(): boolean {
    return this.#byPort.size >= MAX_TICKETS;
  }

  /**
   * @param port the client's. What is not fetched in time is reset
   * @returns takes the ticket back: once its client is gone the port may be another user's
   */
  put(port: number, outgoing: Outgoing): () => void {
    this.take(port)?.resetAndDestroy();
    const timer = setTimeout(() => this.take(port)?.resetAndDestroy(), TICKET_MS);
    this.#byPort.set(port, { outgoing, timer });
    return () => {
      if (this.#byPort.get(port)?.outgoing === outgoing) this.take(port)?.resetAndDestroy();
    };
  }

  take(port: number): Outgoing | undefined {
    const ticket = this.#byPort.get(port);
    if (ticket === undefined) return undefined;
    clearTimeout(ticket.timer);
    this.#byPort.delete(port);
    return ticket.outgoing;
  }

  close(): void {
    for (const port of [...this.#byPort.keys()]) this.take(port)?.resetAndDestroy();
  }
}
