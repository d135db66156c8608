import {
  HELD_CHECK_MS,
  HELD_STILL_MS,
  MAX_HELD_BYTES,
  MAX_STILL_BYTES,
  MAX_STILL_TUNNELS_BYTES,
  MAX_TUNNELS_BYTES,
} from './limits.ts';

/** Something that keeps bytes until somebody takes them: a connection with its two sides. */
export interface Holder {
  /** What it keeps now. */
  readonly heldBytes: number;
  /** Gives it all up: its peers see a reset. */
  reset(): void;
}

/** When a holder was seen to keep another amount for the last time. */
interface Seen {
  bytes: number;
  sinceMs: number;
}

export interface HeldBytesOptions {
  readonly maxBytes?: number;
  readonly maxStillBytes?: number;
  readonly stillMs?: number;
  readonly checkMs?: number;
}

/** A check takes at most this share of the time. */
const CHECK_SHARE = 20;

/**
 * Bounds what all connections together keep in memory for peers that do not read, do not answer, or do not come to an end. One
 * alone is bounded by its own high-water marks; ten thousand of them are not. Looked at now and then: to count at each
 * write would cost every connection, and looking at thousands takes a few milliseconds.
 */
export class HeldBytes {
  /** Some were reset; they held so much together. */
  onShed: ((count: number, bytes: number) => void) | undefined;
  readonly #holders = new Map<Holder, Seen>();
  readonly #options: HeldBytesOptions;
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;

  constructor(options: HeldBytesOptions = {}) {
    this.#options = options;
  }

  /** What was held when it was last looked at. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether nothing more can be taken. */
  get isFull(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  add(holder: Holder): void {
    this.#holders.set(holder, { bytes: 0, sinceMs: performance.now() });
    this.#arm(this.#options.checkMs ?? HELD_CHECK_MS);
  }

  delete(holder: Holder): void {
    this.#holders.delete(holder);
    if (this.#holders.size > 0) return;
    this.#bytes = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  get #maxBytes(): number {
    return this.#options.maxBytes ?? MAX_HELD_BYTES;
  }

  #arm(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const startMs = performance.now();
      this.#check(startMs);
      const tookMs = performance.now() - startMs;
      if (this.#holders.size > 0) this.#arm(Math.max(this.#options.checkMs ?? HELD_CHECK_MS, tookMs * CHECK_SHARE));
    }, delayMs);
  }

  #check(nowMs: number): void {
    let sum = 0;
    for (const [holder, seen] of this.#holders) {
      const bytes = holder.heldBytes;
      sum += bytes;
      if (bytes === seen.bytes) continue;
      seen.bytes = bytes;
      seen.sinceMs = nowMs;
    }
    const { maxStillBytes = MAX_STILL_BYTES, stillMs = HELD_STILL_MS } = this.#options;
    if (sum > maxStillBytes) sum -= this.#shed(sum - maxStillBytes, (seen) => nowMs - seen.sinceMs >= stillMs);
    if (sum > this.#maxBytes) sum -= this.#shed(sum - this.#maxBytes, () => true);
    this.#bytes = sum;
  }

  /** Gives up the largest first. @returns how many bytes that were */
  #shed(excess: number, which: (seen: Seen) => boolean): number {
    const largestFirst = [...this.#holders]
      .filter(([, seen]) => seen.bytes > 0 && which(seen))
      .sort(([, a], [, b]) => b.bytes - a.bytes);
    let bytes = 0;
    let count = 0;
    for (const [holder, seen] of largestFirst) {
      if (bytes >= excess) break;
      bytes += seen.bytes;
      count += 1;
      seen.bytes = 0;
      holder.reset();
    }
    if (count > 0) this.onShed?.(count, bytes);
    return bytes;
  }
}

/** Of this process: memory is one for all that it serves. */
export const held = new HeldBytes();
/** The same of the tunnels: what was received and not read, or not sent, or not acknowledged. */
export const heldByTunnels = new HeldBytes({ maxBytes: MAX_TUNNELS_BYTES, maxStillBytes: MAX_STILL_TUNNELS_BYTES });
