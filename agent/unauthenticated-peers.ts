import type { Socket } from 'node:net';
import { HANDSHAKE_DEADLINE_MS } from '../src/protocol/limits.ts';
import { MAX_UNAUTHENTICATED_PEERS } from './limits.ts';

interface Peer {
  readonly socket: Socket;
  readonly address: string;
  readonly timer: NodeJS.Timeout;
}

/**
 * The connections to the tunnel port that have not proved anything yet. Each has a deadline, and there are only so many: one
 * more cuts the oldest of the address that has the most. A stranger that opens connection after connection then drives
 * out its own, while sessions, which come from the API server's address and prove themselves in two round trips, get through.
 */
export class UnauthenticatedPeers {
  /** By remote address and port; in the order of arrival. */
  readonly #peers = new Map<string, Peer>();
  readonly #maxPeers: number;
  readonly #deadlineMs: number;

  constructor(maxPeers = MAX_UNAUTHENTICATED_PEERS, deadlineMs = HANDSHAKE_DEADLINE_MS) {
    this.#maxPeers = maxPeers;
    this.#deadlineMs = deadlineMs;
  }

  get size(): number {
    return this.#peers.size;
  }

  /** Watches a connection just accepted. @returns false when it is gone already */
  add(socket: Socket): boolean {
    const key = keyOf(socket);
    if (key === undefined) {
      socket.destroy();
      return false;
    }
    if (this.#peers.size >= this.#maxPeers) this.#cutOne();
    const timer = setTimeout(() => socket.destroy(), this.#deadlineMs);
    this.#peers.set(key, { socket, address: socket.remoteAddress ?? '', timer });
    socket.once('close', () => this.#remove(key, socket));
    return true;
  }

  /** The peer proved itself. @param socket the accepted one or a TLS socket over it */
  proved(socket: Socket): void {
    const key = keyOf(socket);
    if (key !== undefined) this.#remove(key);
  }

  /** Cuts all of them. */
  close(): void {
    for (const { socket } of this.#peers.values()) socket.destroy();
  }

  #remove(key: string, socket?: Socket): void {
    const peer = this.#peers.get(key);
    if (peer === undefined || (socket !== undefined && peer.socket !== socket)) return;
    clearTimeout(peer.timer);
    this.#peers.delete(key);
  }

  #cutOne(): void {
    const counts = new Map<string, number>();
    for (const { address } of this.#peers.values()) counts.set(address, (counts.get(address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const [key, { socket, address }] of this.#peers) {
      if (counts.get(address) !== most) continue;
      this.#remove(key);
      socket.destroy();
      return;
    }
  }
}

function keyOf(socket: Socket): string | undefined {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined ? undefined : `${remoteAddress} ${remotePort}`;
}
