import { MAX_LARGE_HEADS } from './limits.ts';

/** Counts large heads that are not complete: thousands of callers that send most of one and stop must not fill the memory. */
export class LargeHeads {
  readonly #max: number;
  #count = 0;

  constructor(max = MAX_LARGE_HEADS) {
    this.#max = max;
  }

  /** @returns gives the place back; undefined: there is none */
  take(): (() => void) | undefined {
    if (this.#count >= this.#max) return undefined;
    this.#count += 1;
    let isTaken = true;
    return () => {
      if (isTaken) this.#count -= 1;
      isTaken = false;
    };
  }
}

/** Of this process: memory is one for all callers. */
export const largeHeads = new LargeHeads();
