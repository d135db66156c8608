import { BadMessage } from './bad-message.ts';
import { largeHeads } from './large-heads.ts';
import { LARGE_HEAD_BYTES, MAX_HEAD_BYTES } from './limits.ts';

const CR = 13;
const LF = 10;
const END = '\r\n\r\n';
const FIRST_HELD_BYTES = 2 * 1024;

/**
 * Finds where a head ends in bytes that are cut anywhere. Copies nothing of a head that is whole in one piece. One empty line
 * in front of a request is left out (RFC 9112 §2.2); a LF without its CR is refused as soon as it is seen.
 */
export class HeadBytes {
  readonly #skipsEmptyLine: boolean;
  #skipped = false;
  #held: Buffer | undefined;
  #heldBytes = 0;
  #head: Buffer | undefined;
  /** Set while it is one of the large heads of callers. */
  #giveBack: (() => void) | undefined;

  constructor(of: 'request' | 'response') {
    this.#skipsEmptyLine = of === 'request';
  }

  /** The head with its empty line; set once push() found it. A view into what was pushed where it was whole. */
  get head(): Buffer {
    if (this.#head === undefined) throw new Error('the head is not complete');
    return this.#head;
  }

  /** Memory that a head takes which is not complete. */
  get heldBytes(): number {
    return this.#held?.byteLength ?? 0;
  }

  /** Whether a head has begun. */
  get begun(): boolean {
    return this.#heldBytes > 0;
  }

  /**
   * @param chunk bytes of the stream, from `from` on not seen before
   * @returns where in `chunk` the head is over; -1: not yet, and all of it is kept
   * @throws BadMessage 431 when it is too long, 400 for a bare LF or an empty line where none may be
   */
  push(chunk: Buffer, from: number): number {
    return this.#heldBytes === 0 ? this.#pushFirst(chunk, from) : this.#pushMore(chunk, from);
  }

  /** Makes it ready for the next head, or lets go of one that is given up. */
  reset(): void {
    this.#giveBack?.();
    this.#giveBack = undefined;
    this.#skipped = false;
    this.#held = undefined;
    this.#heldBytes = 0;
    this.#head = undefined;
  }

  #pushFirst(chunk: Buffer, start: number): number {
    if (chunk[start] === CR) {
      if (!this.#skipsEmptyLine || this.#skipped) throw new BadMessage('an empty line before the first line');
      if (start + 1 === chunk.byteLength) {
        this.#hold(chunk, start);
        return -1;
      }
      if (chunk[start + 1] !== LF) throw new BadMessage('a CR without LF before the first line');
      this.#skipped = true;
      return this.#pushFirst(chunk, start + 2);
    }
    if (start === chunk.byteLength) return -1;
    if (chunk[start] === LF) throw new BadMessage('a LF without CR'); // a CR in front of it is the end of another body
    const at = chunk.indexOf(END, start, 'latin1');
    if (at === -1 || at + END.length - start > MAX_HEAD_BYTES) {
      refuseBareLf(chunk, start, at === -1 ? chunk.byteLength : at);
      this.#hold(chunk, start);
      this.#mustBeFew();
      return -1;
    }
    this.#head = chunk.subarray(start, at + END.length);
    return at + END.length;
  }

  #pushMore(chunk: Buffer, from: number): number {
    const before = this.#heldBytes;
    const held = this.#hold(chunk, from);
    if (before === 1 && held[0] === CR) {
      // Only the empty line in front begins so.
      this.#heldBytes = 0;
      this.#held = undefined;
      if (chunk[from] !== LF) throw new BadMessage('a CR without LF before the first line');
      this.#skipped = true;
      return this.#pushFirst(chunk, from + 1);
    }
    const at = held.subarray(0, this.#heldBytes).indexOf(END, Math.max(0, before - END.length + 1), 'latin1');
    if (at === -1) {
      refuseBareLf(held, before, this.#heldBytes);
      this.#mustBeFew();
      return -1;
    }
    const length = at + END.length;
    this.#head = held.subarray(0, length);
    return from + length - before;
  }

  /** An answerer's heads are not counted: there is one for each request that is under way. */
  #mustBeFew(): void {
    if (!this.#skipsEmptyLine || this.#heldBytes <= LARGE_HEAD_BYTES) return;
    this.#giveBack ??= largeHeads.take();
    if (this.#giveBack === undefined) throw new BadMessage(NO_PLACE, 431);
  }

  /** Appends to a buffer that doubles: bytes that come one by one are not copied again for each. */
  #hold(chunk: Buffer, from: number): Buffer {
    const needed = this.#heldBytes + chunk.byteLength - from;
    let held = this.#held;
    if (held === undefined || held.byteLength < needed) {
      const larger = Buffer.allocUnsafe(Math.max(FIRST_HELD_BYTES, 2 ** Math.ceil(Math.log2(needed))));
      if (held !== undefined) held.copy(larger, 0, 0, this.#heldBytes);
      held = larger;
      this.#held = larger;
    }
    chunk.copy(held, this.#heldBytes, from);
    this.#heldBytes = needed;
    if (needed > MAX_HEAD_BYTES && held.subarray(0, MAX_HEAD_BYTES).indexOf(END, 0, 'latin1') === -1) {
      throw new BadMessage(`a head of more than ${MAX_HEAD_BYTES} bytes`, 431);
    }
    return held;
  }
}

const NO_PLACE = 'a large head while too many others are on their way';

function refuseBareLf(bytes: Buffer, from: number, to: number): void {
  for (let at = bytes.indexOf(LF, from); at !== -1 && at < to; at = bytes.indexOf(LF, at + 1)) {
    if (at === 0 || bytes[at - 1] !== CR) throw new BadMessage('a LF without CR');
  }
}
