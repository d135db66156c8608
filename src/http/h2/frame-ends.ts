import { FRAME_HEAD_BYTES, frameHead } from './frames.ts';

/** Follows what an HTTP/2 server sends, and knows where its frames end (RFC 9113 §4.1): only there may one be put in. */
export class FrameEnds {
  /** The head of the frame that is being read, and how much of it is here. */
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  /** Of the frame's payload. */
  #leftBytes = 0;
  #frames = 0;
  #lastEnd: number | undefined;

  /** Where in the chunk pushed last a frame ended last; undefined: nowhere in it. */
  get lastEnd(): number | undefined {
    return this.#lastEnd;
  }

  /** All that was sent are whole frames, and there was one at least (the server's SETTINGS must be the first). */
  get isBetweenFrames(): boolean {
    return this.#frames > 0 && this.#headBytes === 0 && this.#leftBytes === 0;
  }

  push(chunk: Buffer): void {
    this.#lastEnd = undefined;
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#leftBytes > 0) {
        const bytes = Math.min(this.#leftBytes, chunk.byteLength - at);
        at += bytes;
        this.#leftBytes -= bytes;
      } else {
        const bytes = chunk.copy(this.#head, this.#headBytes, at);
        at += bytes;
        this.#headBytes += bytes;
        if (this.#headBytes < FRAME_HEAD_BYTES) return;
        this.#headBytes = 0;
        this.#leftBytes = frameHead(this.#head, 0)?.length ?? 0;
      }
      if (this.#leftBytes > 0) continue;
      this.#frames += 1;
      this.#lastEnd = at;
    }
  }
}
