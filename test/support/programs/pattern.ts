import { createCipheriv, createHash } from 'node:crypto';

const ZEROS = Buffer.alloc(64 * 1024);

/** Bytes that look random, the same for the same name on both sides, and like no others at any other offset. */
export class Pattern {
  readonly #cipher;

  constructor(name: string) {
    this.#cipher = createCipheriv('aes-128-ctr', createHash('md5').update(name).digest(), Buffer.alloc(16));
  }

  /** The bytes that follow those of the call before. */
  next(bytes: number): Buffer {
    if (bytes <= ZEROS.length) return this.#cipher.update(ZEROS.subarray(0, bytes));
    const parts: Buffer[] = [];
    for (let left = bytes; left > 0; left -= ZEROS.length)
      parts.push(this.#cipher.update(ZEROS.subarray(0, Math.min(left, ZEROS.length))));
    return Buffer.concat(parts);
  }
}

/** Compares what comes with a pattern, byte for byte: lost, doubled and swapped bytes are wrong ones. */
export class PatternCheck {
  readonly #pattern: Pattern;
  bytes = 0;
  wrong = 0;

  constructor(name: string) {
    this.#pattern = new Pattern(name);
  }

  take(chunk: Buffer): void {
    this.bytes += chunk.length;
    const expected = this.#pattern.next(chunk.length);
    if (expected.equals(chunk)) return;
    for (let index = 0; index < chunk.length; index++) if (expected[index] !== chunk[index]) this.wrong++;
  }

  /** @returns bytes that are wrong, those missing of `expected` among them */
  ended(expectedBytes: number): number {
    return this.wrong + Math.abs(expectedBytes - this.bytes);
  }
}
