import type { Channel } from './channel.ts';

/**
 * Whose turn it is to send: round robin, after fq_codel (RFC 8290 §4.2). A stream that had nothing to send for a whole
 * round goes first once, so a short answer overtakes bulk data; a stream that always has more never gets ahead.
 */
export class SendQueue {
  readonly #fresh = new Set<Channel>();
  readonly #rest = new Set<Channel>();

  add(channel: Channel): void {
    if (!this.#rest.has(channel)) this.#fresh.add(channel);
  }

  delete(channel: Channel): void {
    this.#fresh.delete(channel);
    this.#rest.delete(channel);
  }

  /** The next channel that can send; it goes to the end of the round. */
  next(): Channel | undefined {
    for (const set of [this.#fresh, this.#rest]) {
      for (const channel of set) {
        set.delete(channel);
        if (!channel.canSend) continue;
        this.#rest.add(channel);
        return channel;
      }
    }
    return undefined;
  }

  /** Whether nobody can send. */
  get isIdle(): boolean {
    for (const channel of this.#fresh) if (channel.canSend) return false;
    for (const channel of this.#rest) if (channel.canSend) return false;
    return true;
  }
}
