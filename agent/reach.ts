import { HOLD_DETACHED_MS } from './limits.ts';

/**
 * Whether the laptop of a session can be reached now: `waiting` for a moment after its link has lost its carrier, as most are
 * back before it is over, then `gone`, until it is back.
 */
export class Reach {
  readonly #holdMs: number;
  readonly #onChange: () => void;
  /** Who waits for the end of `waiting`, and who has asked something and waits for the answer. */
  readonly #untilSettled = new Set<() => void>();
  readonly #untilGone = new Set<() => void>();
  #state: 'reachable' | 'waiting' | 'gone' = 'reachable';
  #timer: NodeJS.Timeout | undefined;

  /** @param onChange `gone` has begun or ended */
  constructor(onChange: () => void, holdMs = HOLD_DETACHED_MS) {
    this.#onChange = onChange;
    this.#holdMs = holdMs;
  }

  get state(): 'reachable' | 'waiting' | 'gone' {
    return this.#state;
  }

  get timers(): number {
    return this.#timer === undefined ? 0 : 1;
  }

  /** There is a carrier. */
  attached(): void {
    this.#settle('reachable');
  }

  /** The carrier is lost, and may be replaced by another one. */
  detached(): void {
    if (this.#state !== 'reachable') return;
    this.#state = 'waiting';
    this.#timer = setTimeout(() => this.lost(), this.#holdMs);
  }

  /** Nobody waits any longer. */
  lost(): void {
    this.#settle('gone');
    for (const gone of [...this.#untilGone]) gone();
  }

  /** Nobody asks any more. */
  close(): void {
    this.lost();
    this.#untilGone.clear();
  }

  /** Resolves when nobody knows better by waiting: at once unless it is `waiting`. @throws the signal's reason */
  async settled(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#state !== 'waiting') return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#untilSettled.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#untilSettled.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
    signal?.throwIfAborted();
  }

  /** Calls when the laptop is gone, if it is not now. @returns to be called when that is of no matter any more */
  onGone(gone: () => void): () => void {
    this.#untilGone.add(gone);
    return () => this.#untilGone.delete(gone);
  }

  #settle(state: 'reachable' | 'gone'): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const before = this.#state;
    this.#state = state;
    for (const settled of [...this.#untilSettled]) settled();
    if ((before === 'gone') !== (state === 'gone')) this.#onChange();
  }
}
