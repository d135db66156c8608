import { MAX_REPLAY_BYTES } from './limits.ts';

/**
 * What a caller has sent, from its first byte on, for as long as another may have to answer it: whoever does gets all of it.
 * Once it is certain who answers nothing is kept any more, until it begins anew.
 */
export class ReplayBuffer {
  #chunks: Buffer[] | undefined = [];
  #bytes = 0;

  /** In the order they came; undefined: nothing is kept. */
  get chunks(): Buffer[] | undefined {
    return this.#chunks;
  }

  /** What it takes in memory. */
  get heldBytes(): number {
    return this.#bytes;
  }

  /** Whether the caller has to wait with more. */
  get isFull(): boolean {
    return this.#bytes >= MAX_REPLAY_BYTES;
  }

  /** Takes `chunk` as it is (no copy), unless nothing is kept. */
  push(chunk: Buffer): void {
    if (this.#chunks === undefined) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
  }

  /** Keeps `chunks` and what comes behind them. @param chunks its own from then on */
  restart(chunks: Buffer[]): void {
    this.#chunks = chunks;
    this.#bytes = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** It is certain who answers. */
  forget(): void {
    this.#chunks = undefined;
    this.#bytes = 0;
  }
}
