/** What an Inbox hands to: the handlers of a Transport. */
interface Handlers {
  onMessage: ((message: Uint8Array) => void) | undefined;
  onClose: ((error: Error | undefined) => void) | undefined;
}

/**
 * Keeps what a carrier delivers while nobody listens or reading is paused, in order, so that the handshake can hand a
 * transport to the mux without losing the messages right behind it. What it keeps is what the carrier had read before
 * it was paused: one socket read.
 */
export class Inbox implements Handlers {
  #onMessage: Handlers['onMessage'];
  #onClose: Handlers['onClose'];
  #kept: Uint8Array[] = [];
  #closed: { readonly error: Error | undefined } | undefined;
  #paused = false;
  #handOverScheduled = false;

  get onMessage(): Handlers['onMessage'] {
    return this.#onMessage;
  }
  set onMessage(handler: Handlers['onMessage']) {
    this.#onMessage = handler;
    this.#schedule();
  }

  get onClose(): Handlers['onClose'] {
    return this.#onClose;
  }
  set onClose(handler: Handlers['onClose']) {
    this.#onClose = handler;
    this.#schedule();
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** A message came in. */
  deliver(message: Uint8Array): void {
    if (this.#closed !== undefined) return;
    if (this.#kept.length === 0 && !this.#paused && this.#onMessage !== undefined) this.#onMessage(message);
    else {
      this.#kept.push(message);
      this.#schedule();
    }
  }

  /** The carrier is gone; only the first call counts. Comes after every message delivered before. */
  finish(error: Error | undefined): void {
    if (this.#closed !== undefined) return;
    this.#closed = { error };
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#handOverScheduled || (this.#kept.length === 0 && this.#closed === undefined)) return;
    this.#handOverScheduled = true;
    process.nextTick(() => {
      this.#handOverScheduled = false;
      this.#handOver();
    });
  }

  #handOver(): void {
    let delivered = 0;
    while (!this.#paused && this.#onMessage !== undefined) {
      const message = this.#kept[delivered];
      if (message === undefined) break;
      delivered += 1;
      this.#onMessage(message);
    }
    this.#kept.splice(0, delivered);
    // Nobody reading must not hide that the carrier is gone: what was kept is lost with it, as its streams are.
    if (this.#closed === undefined || this.#onClose === undefined) return;
    const handler = this.#onClose;
    this.#onClose = undefined;
    this.#kept = [];
    handler(this.#closed.error);
  }
}
