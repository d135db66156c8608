import type { MuxLimits } from './limits.ts';

/**
 * A window is worth growing when it is used up within this many round trips: below, the peer waits for credit. One would do where
 * nothing else runs; the shortest of late is less than the usual one of a busy machine.
 */
const GROW_WITHIN_ROUND_TRIPS = 4;
/**
 * Round trips count as at least this long: on a fast carrier the two event loops, not the wire, are what the window has
 * to bridge.
 */
const SHORTEST_ROUND_TRIP_MS = 4;

/** A window that is too small becomes so many times as large: from 256 KiB to 16 MiB in three steps. Doubling took six. */
const GROWTH_FACTOR = 4;

/** What a window may ask of the tunnel it belongs to. */
export interface WindowBudget {
  /** Lowest round trip seen lately; undefined before the first. A full carrier must not look like a long one. */
  readonly shortestRoundTripMs: number | undefined;
  /** Takes `bytes` from what all windows together may grow by; false when there is not so much. */
  takeGrowth(bytes: number): boolean;
  returnGrowth(bytes: number): void;
}

/** How much the peer may still send on a stream, and how much it is owed for what was read. */
export class ReceiveWindow {
  readonly #limits: MuxLimits;
  readonly #budget: WindowBudget;
  #windowBytes: number;
  #allowedBytes: number;
  #owedBytes = 0;
  #epochStartMs: number | undefined;
  #epochBytes = 0;

  constructor(limits: MuxLimits, budget: WindowBudget) {
    this.#limits = limits;
    this.#budget = budget;
    this.#windowBytes = limits.initialWindowBytes;
    this.#allowedBytes = limits.initialWindowBytes;
  }

  get windowBytes(): number {
    return this.#windowBytes;
  }

  /** @returns whether the peer was allowed to send `bytes` more */
  receive(bytes: number): boolean {
    if (bytes > this.#allowedBytes) return false;
    this.#allowedBytes -= bytes;
    this.#epochStartMs ??= performance.now();
    return true;
  }

  /** @returns whether a credit frame is due: half a window has been read */
  read(bytes: number): boolean {
    this.#owedBytes += bytes;
    return this.#owedBytes * 2 >= this.#windowBytes;
  }

  /** @returns the credit to send now, grown when the peer used up the window fast; 0 when nothing is owed */
  takeCredit(): number {
    let credit = this.#owedBytes;
    this.#owedBytes = 0;
    this.#epochBytes += credit;
    if (this.#epochBytes >= this.#windowBytes) credit += this.#grow();
    this.#allowedBytes += credit;
    return credit;
  }

  /** Gives back what it took from the budget. */
  release(): void {
    this.#budget.returnGrowth(this.#windowBytes - this.#limits.initialWindowBytes);
    this.#windowBytes = this.#limits.initialWindowBytes;
  }

  #grow(): number {
    const now = performance.now();
    const tookMs = now - (this.#epochStartMs ?? now);
    this.#epochStartMs = now;
    this.#epochBytes = 0;
    const roundTripMs = Math.max(this.#budget.shortestRoundTripMs ?? 0, SHORTEST_ROUND_TRIP_MS);
    if (tookMs > roundTripMs * GROW_WITHIN_ROUND_TRIPS) return 0;
    const largest = Math.min(this.#windowBytes * GROWTH_FACTOR, this.#limits.maxWindowBytes);
    const growth = largest - this.#windowBytes;
    if (growth <= 0 || !this.#budget.takeGrowth(growth)) return 0;
    this.#windowBytes += growth;
    return growth;
  }
}
