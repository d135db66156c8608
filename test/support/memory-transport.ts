import { Inbox } from '../../src/mux/inbox.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from '../../src/mux/limits.ts';
import type { Transport } from '../../src/mux/transport.ts';

/** One end of a carrier in memory, with faults on demand. What is sent crosses in a later turn, in order. */
export class MemoryTransport extends Inbox implements Transport {
  onDrain: (() => void) | undefined;
  /** What this end sent, when asked to record it. */
  readonly sent: Uint8Array[] = [];
  recordSent = false;
  #peer: MemoryTransport | undefined;
  #wire: Uint8Array[] = [];
  #bufferedBytes = 0;
  #wasFull = false;
  #moveScheduled = false;
  #stalled = false;
  #paused = false;
  #closing = false;

  static pair(): [MemoryTransport, MemoryTransport] {
    const a = new MemoryTransport();
    const b = new MemoryTransport();
    a.#peer = b;
    b.#peer = a;
    return [a, b];
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  send(message: Uint8Array): void {
    if (this.isClosed || this.#closing) return;
    if (this.recordSent) this.sent.push(Uint8Array.from(message));
    this.#wire.push(message);
    this.#bufferedBytes += message.byteLength;
    if (this.#bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES) this.#wasFull = true;
    this.#scheduleMove();
  }

  close(): void {
    if (this.#stalled) this.terminate();
    this.#closing = true;
    this.#scheduleMove();
  }

  terminate(): void {
    this.#cut(undefined, new Error('carrier cut by the other end'));
  }

  /** The carrier breaks: both ends learn of it. */
  breakWire(): void {
    const error = new Error('carrier cut by the test');
    this.#cut(error, error);
  }

  /** From now on nothing this end sends arrives, and nobody is told. */
  stall(): void {
    this.#stalled = true;
  }

  unstall(): void {
    this.#stalled = false;
    this.#scheduleMove();
  }

  override pause(): void {
    this.#paused = true;
    super.pause();
  }

  override resume(): void {
    this.#paused = false;
    super.resume();
    if (this.#peer !== undefined) this.#peer.#scheduleMove();
  }

  #cut(own: Error | undefined, peers: Error | undefined): void {
    this.#wire = [];
    this.#bufferedBytes = 0;
    this.finish(own);
    setImmediate(() => this.#peer?.finish(peers));
  }

  #scheduleMove(): void {
    if (this.#moveScheduled) return;
    this.#moveScheduled = true;
    setImmediate(() => {
      this.#moveScheduled = false;
      this.#move();
    });
  }

  #move(): void {
    const peer = this.#peer;
    if (peer === undefined || this.#stalled || this.isClosed) return;
    const wire = this.#wire;
    this.#wire = [];
    for (const [index, message] of wire.entries()) {
      if (peer.#paused) {
        this.#wire = [...wire.slice(index), ...this.#wire];
        break;
      }
      this.#bufferedBytes -= message.byteLength;
      peer.deliver(message);
    }
    if (this.isClosed) return;
    if (this.#wasFull && this.#bufferedBytes < TRANSPORT_HIGH_WATER_BYTES) {
      this.#wasFull = false;
      this.onDrain?.();
    }
    if (this.#closing && this.#wire.length === 0) this.#cut(undefined, undefined);
  }
}
