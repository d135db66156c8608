/** Of so many places a session finds one of its own, when others have taken all the rest. */
const RESERVED_SHARE = 128;

/** Places that all sessions share: one session that takes all it can get must not keep the others from working. */
export class Shares {
  readonly #max: number;
  readonly #reserved: number;
  readonly #taken = new Map<object, number>();
  #total = 0;

  /** @param max for all together; beyond it each may still have a 128th of it */
  constructor(max: number) {
    this.#max = max;
    this.#reserved = Math.floor(max / RESERVED_SHARE);
  }

  /** How many places are taken. */
  get total(): number {
    return this.#total;
  }

  of(owner: object): number {
    return this.#taken.get(owner) ?? 0;
  }

  /** @returns gives the place back; undefined: there is none for this owner */
  take(owner: object): (() => void) | undefined {
    const own = this.of(owner);
    if (this.#total >= this.#max && own >= this.#reserved) return undefined;
    this.#total += 1;
    this.#taken.set(owner, own + 1);
    return () => {
      this.#total -= 1;
      const left = this.of(owner) - 1;
      if (left > 0) this.#taken.set(owner, left);
      else this.#taken.delete(owner);
    };
  }
}
