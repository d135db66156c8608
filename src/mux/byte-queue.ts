/** Pieces smaller than this are gathered, so that a peer that sends single bytes costs bytes and not objects. */
const GATHER_BELOW_BYTES = 1024;
const GATHERED_BYTES = 4096;

/**
 * Bytes received and not yet read. What it holds in memory is at most about twice byteLength: a view that would pin a
 * much larger message is copied, small pieces are gathered.
 */
export class ByteQueue {
  readonly #chunks: Buffer[] = [];
  #head = 0;
  /** The last chunk while it is ours and has room: its buffer and how much of it is used. */
  #tail: { readonly buffer: Buffer; used: number } | undefined;
  byteLength = 0;

  push(payload: Buffer): void {
    this.byteLength += payload.byteLength;
    if (payload.byteLength < GATHER_BELOW_BYTES && this.#head < this.#chunks.length) {
      this.#gather(payload);
      return;
    }
    this.#tail = undefined;
    this.#chunks.push(payload.byteLength * 2 < payload.buffer.byteLength ? Buffer.from(payload) : payload);
  }

  shift(): Buffer | undefined {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#chunks.length) {
      this.#chunks.length = 0;
      this.#head = 0;
      this.#tail = undefined;
    } else if (this.#head > 1024) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
    this.byteLength -= chunk.byteLength;
    return chunk;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#head = 0;
    this.#tail = undefined;
    this.byteLength = 0;
  }

  #gather(payload: Buffer): void {
    let tail = this.#tail;
    if (tail === undefined || tail.used + payload.byteLength > GATHERED_BYTES) {
      tail = { buffer: Buffer.allocUnsafeSlow(GATHERED_BYTES), used: 0 };
      this.#tail = tail;
      this.#chunks.push(tail.buffer.subarray(0, 0));
    }
    tail.buffer.set(payload, tail.used);
    tail.used += payload.byteLength;
    this.#chunks[this.#chunks.length - 1] = tail.buffer.subarray(0, tail.used);
  }
}
