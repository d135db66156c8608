import { withFields } from './head-edit.ts';
import { MAX_REPLAY_BYTES } from './limits.ts';
import type { Upstream } from './upstream.ts';

const NOTHING = Buffer.alloc(0);

/** A request as it came, as far as it came, its head whole. */
export interface FirstBytes {
  readonly bytes: Buffer;
  /** How many of them are the head. */
  readonly headBytes: number;
  /** Whether the body is all there. */
  readonly complete: boolean;
}

/** The bytes of a request, for as long as it may have to be sent (again). */
export class KeptRequest {
  #first: FirstBytes;
  /** The body behind `#first`; undefined once the request cannot be sent anew. */
  #body: Buffer[] | undefined = [];
  #bodyBytes = 0;

  constructor(first: FirstBytes) {
    this.#first = first;
  }

  /** What had come when it began; empty once forgotten. */
  get firstBytes(): Buffer {
    return this.#first.bytes;
  }

  /** Whether the request can be sent anew. */
  get isWhole(): boolean {
    return this.#body !== undefined;
  }

  /** Whether no more of it should be taken before somebody gets it. */
  get isFull(): boolean {
    return this.#bodyBytes >= MAX_REPLAY_BYTES;
  }

  /** What it takes in memory. */
  get heldBytes(): number {
    return this.#first.bytes.byteLength + this.#bodyBytes;
  }

  /** Keeps more of the body. @param isSent somebody has it: then too large a body is given up */
  push(bytes: Buffer, isSent: boolean): void {
    if (this.#body === undefined) return;
    this.#body.push(bytes);
    this.#bodyBytes += bytes.byteLength;
    if (this.#bodyBytes > MAX_REPLAY_BYTES && isSent) this.forget();
  }

  /** Sends all there is, with fields behind the head's. */
  sendTo({ stream }: Upstream, fields: readonly (readonly [name: string, value: string])[]): void {
    const { bytes, headBytes } = this.#first;
    stream.write(withFields(bytes, headBytes, fields));
    for (const more of this.#body ?? []) stream.write(more);
  }

  forget(): void {
    if (this.#body === undefined) return;
    this.#body = undefined;
    this.#bodyBytes = 0;
    this.#first = { ...this.#first, bytes: NOTHING };
  }
}
