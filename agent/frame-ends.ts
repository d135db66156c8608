const HEADER_BYTES = 9;

/**
 * GOAWAY of a graceful shutdown (RFC 9113 §6.8): no new streams, those there are (up to 2^31-1) are finished; the client
 * closes the connection then and opens another.
 */
export const GOAWAY = Buffer.from('0000080700000000007fffffff00000000', 'hex');

/** Follows what an HTTP/2 server sends, and knows where its frames end (RFC 9113 §4.1): only there may one be put in. */
export class FrameEnds {
  /** Bytes of the header that is being read. */
  #header = 0;
  #length = 0;
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
    return this.#frames > 0 && this.#header === 0 && this.#leftBytes === 0;
  }

  push(chunk: Buffer): void {
    this.#lastEnd = undefined;
    let at = 0;
    while (at < chunk.byteLength) {
      if (this.#leftBytes > 0) {
        const bytes = Math.min(this.#leftBytes, chunk.byteLength - at);
        at += bytes;
        this.#leftBytes -= bytes;
        if (this.#leftBytes === 0) this.#ended(at);
        continue;
      }
      if (this.#header < 3) this.#length = this.#length * 256 + (chunk[at] ?? 0);
      this.#header += 1;
      at += 1;
      if (this.#header < HEADER_BYTES) continue;
      this.#header = 0;
      this.#leftBytes = this.#length;
      this.#length = 0;
      if (this.#leftBytes === 0) this.#ended(at);
    }
  }

  #ended(at: number): void {
    this.#frames += 1;
    this.#lastEnd = at;
  }
}
