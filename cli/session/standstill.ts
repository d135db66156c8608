const LOOK_EVERY_MS = 1_000;
/** More than a busy machine makes a timer late. */
const STILL_MS = 3_000;
/** What a standstill has done to a connection is seen this long after it at most. */
const RECENT_MS = 10_000;

/**
 * Notices that this process stood still: a laptop that slept, a debugger, SIGSTOP. Nothing is seen meanwhile, not even by the
 * clock of performance.now() where the machine sleeps; the time of day goes on.
 */
export class Standstill implements Disposable {
  readonly #timer = setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  #lookedMs = Date.now();
  #last: { readonly ms: number; readonly endedMs: number } | undefined;

  /** How long the one lasted that has ended just now; 0: there was none. */
  get recentMs(): number {
    this.#look(); // whoever wakes up may be asked before the timer is
    return this.#last === undefined || Date.now() - this.#last.endedMs > RECENT_MS ? 0 : this.#last.ms;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMs = Date.now();
    const ms = nowMs - this.#lookedMs;
    this.#lookedMs = nowMs;
    if (ms > STILL_MS) this.#last = { ms, endedMs: nowMs };
  }
}
