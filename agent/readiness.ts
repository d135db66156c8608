import { READY_WITHOUT_CLAIM_MS } from './limits.ts';

/**
 * When the pod may get traffic: all route ports listen, and a session has claimed or the wait for one is over. Callers
 * wait for it instead of being told "not yet": a failed probe would cost a whole probe period.
 */
export class Readiness {
  readonly ready: Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #resolve: () => void = () => {};
  #listening = false;
  #settled = false;

  /** @param withoutClaimMs how long to wait for a first claim */
  constructor(withoutClaimMs: number = READY_WITHOUT_CLAIM_MS) {
    this.ready = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#timer = setTimeout(() => this.#settle(), withoutClaimMs);
  }

  /** All route ports are bound. */
  listening(): void {
    this.#listening = true;
    this.#check();
  }

  /** A session holds a port. */
  claimed(): void {
    clearTimeout(this.#timer);
    this.#settle();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #settle(): void {
    this.#settled = true;
    this.#check();
  }

  #check(): void {
    if (this.#listening && this.#settled) this.#resolve();
  }
}
