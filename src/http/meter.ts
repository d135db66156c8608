import type { Duplex } from 'node:stream';

/** Adds up what one caller's connection keeps in memory; what keeps something of it registers itself. */
export class Meter {
  readonly #parts = new Set<() => number>();

  /** What is kept now, in bytes. */
  get bytes(): number {
    let sum = 0;
    for (const part of this.#parts) sum += part();
    return sum;
  }

  /** @returns takes the part away again */
  add(part: () => number): () => void {
    this.#parts.add(part);
    return () => {
      this.#parts.delete(part);
    };
  }
}

/** What a stream keeps: read by nobody yet, or not taken by its peer. */
export function sideBytes(side: Duplex): number {
  return side.readableLength + side.writableLength;
}
