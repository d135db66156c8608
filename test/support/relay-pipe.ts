import type { Socket } from 'node:net';
import type { RelayFaults } from './faulty-relay.ts';

/** What a pipe takes from its source before it stops reading, beyond what a delay keeps under way. */
const MAX_QUEUED_BYTES = 256 * 1024;
/** A trickle passes bytes in slices of this length of time. */
const TRICKLE_SLICE_MS = 20;

interface Held {
  readonly dueAt: number;
  /** undefined: the source has ended. */
  readonly chunk: Buffer | undefined;
}

/** One direction of one relayed connection, with its faults. */
export class RelayPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #faults: RelayFaults;
  readonly #take: (bytes: number) => number;
  readonly #queue: Held[] = [];
  #queuedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #draining = false;
  #stopped = false;
  /** When the next slice of a trickle may pass. */
  #trickleAt = 0;

  /** @param take called before bytes pass, returns how many of them may */
  constructor(from: Socket, to: Socket, faults: RelayFaults, take: (bytes: number) => number) {
    this.#from = from;
    this.#to = to;
    this.#faults = faults;
    this.#take = take;
    from.on('data', (chunk: Buffer) => this.#hold(chunk));
    from.once('end', () => this.#hold(undefined));
    if (faults.stalled) from.pause();
  }

  /** Looks again at what is held back, after a fault has changed. */
  wake(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#trickleAt = 0;
    this.#pump();
  }

  /** Passes nothing more, for good. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #hold(chunk: Buffer | undefined): void {
    if (this.#stopped) return;
    this.#queue.push({ dueAt: performance.now() + this.#faults.delayMs, chunk });
    this.#queuedBytes += chunk?.length ?? 0;
    this.#pump();
    this.#readMoreOrLess();
  }

  /** A delay keeps bytes under way without slowing the flow; a stall, a trickle or a slow reader stops the source. */
  #readMoreOrLess(): void {
    const isHeldBack = this.#faults.stalled || this.#draining || this.#faults.bytesPerSecond !== undefined;
    const limit = isHeldBack ? MAX_QUEUED_BYTES : MAX_QUEUED_BYTES * 64;
    if (this.#queuedBytes > limit) this.#from.pause();
    else this.#from.resume();
  }

  #pump(): void {
    while (!this.#stopped && !this.#faults.stalled && !this.#draining && this.#timer === undefined) {
      const held = this.#queue[0];
      if (held === undefined) break;
      const waitMs = Math.max(held.dueAt, this.#trickleAt) - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#pump();
        }, waitMs);
        return;
      }
      this.#queue.shift();
      if (held.chunk === undefined) this.#to.end();
      else this.#pass(held.chunk, held.dueAt);
    }
    if (!this.#stopped) this.#readMoreOrLess();
  }

  #pass(chunk: Buffer, dueAt: number): void {
    const { bytesPerSecond } = this.#faults;
    const slice = this.#sliceBytes(chunk.length, bytesPerSecond);
    const allowed = this.#take(slice);
    this.#queuedBytes -= allowed;
    if (allowed < chunk.length) this.#queue.unshift({ dueAt, chunk: chunk.subarray(allowed) });
    if (bytesPerSecond !== undefined) this.#trickleAt = performance.now() + (slice / bytesPerSecond) * 1000;
    const isFlowing = this.#to.write(chunk.subarray(0, allowed));
    if (allowed < slice && !this.#faults.stalled) this.stop(); // the relay is about to cut
    if (isFlowing || this.#stopped) return;
    this.#draining = true;
    this.#to.once('drain', () => {
      this.#draining = false;
      this.#pump();
    });
  }

  #sliceBytes(available: number, bytesPerSecond: number | undefined): number {
    if (bytesPerSecond === undefined) return available;
    return Math.max(1, Math.min(available, Math.floor((bytesPerSecond * TRICKLE_SLICE_MS) / 1000)));
  }
}
