/** Each carrier that fell silent before it had moved a message doubles the patience with the next, so often. */
const MAX_DOUBLINGS = 3;
/** Of a side that has nothing to send: it cannot tell a slow line from a dead one, and a dead one is to be found within 5 s. */
const MAX_IDLE_FACTOR = 1.5;

/**
 * How long to wait for a sign of life, as a factor. On a line so slow that one message takes longer than the deadline every carrier
 * would be cut before it had moved anything, for ever.
 */
export class Patience {
  #doublings = 0;
  /** A numbered message was received or acknowledged on the present carrier. */
  hasMoved = false;

  /** For the next carrier. @param hasUnsent there are messages for it to move */
  factor(hasUnsent: boolean): number {
    const factor = 2 ** this.#doublings;
    return hasUnsent ? factor : Math.min(factor, MAX_IDLE_FACTOR);
  }

  /** The carrier fell silent. */
  silent(): void {
    if (!this.hasMoved) this.#doublings = Math.min(this.#doublings + 1, MAX_DOUBLINGS);
  }

  /** The carrier is gone, for whatever reason. */
  gone(): void {
    if (this.hasMoved) this.#doublings = 0;
    this.hasMoved = false;
  }
}
