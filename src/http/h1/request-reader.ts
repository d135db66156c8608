import { type Body, requestBody } from './framing.ts';
import { HeadBytes } from './head-bytes.ts';
import type { FirstBytes } from './kept-request.ts';
import { HEAD_TIMEOUT_MS } from './limits.ts';
import { H1RequestHead } from './request-head.ts';

/** A request whose head is whole, as far as it has come. */
export interface RequestStart {
  readonly head: H1RequestHead;
  /** Has scanned what is here of the body. */
  readonly body: Body;
  /** A view into what was read where the head came in one piece. */
  readonly first: FirstBytes;
  /** Where in what was read its bytes are over. */
  readonly end: number;
}

/** Reads where a caller's requests begin, out of bytes that are cut anywhere; a head that has begun must come in time. */
export class RequestReader {
  readonly #heads = new HeadBytes('request');
  readonly #onTimeout: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param onTimeout called when a head is not whole HEAD_TIMEOUT_MS after it has begun */
  constructor(onTimeout: () => void) {
    this.#onTimeout = onTimeout;
  }

  /** Whether a head has begun that is not whole. */
  get begun(): boolean {
    return this.#heads.begun;
  }

  /** Memory that it takes, in bytes. */
  get heldBytes(): number {
    return this.#heads.heldBytes;
  }

  /**
   * @param pending bytes behind the last request, not seen before
   * @returns undefined: no head is whole yet, and all of `pending` is kept
   * @throws BadMessage for a head that cannot be read plainly or is too long, and for a body that is none
   */
  read(pending: Buffer): RequestStart | undefined {
    const headEnd = this.#heads.push(pending, 0);
    if (headEnd === -1) {
      if (this.#heads.begun) this.#timer ??= setTimeout(() => this.#onLate(), HEAD_TIMEOUT_MS);
      return undefined;
    }
    this.#clearTimer();
    const bytes = this.#heads.head;
    const isHeld = this.#heads.begun;
    this.#heads.reset();
    const head = new H1RequestHead(bytes);
    const body = requestBody(head);
    // What is here of the body is looked at before anybody gets anything of the request.
    const end = body.scan(pending, headEnd);
    const headBytes = bytes.byteLength;
    let all = bytes;
    if (!isHeld) all = pending.subarray(headEnd - headBytes, end);
    else if (end > headEnd) all = Buffer.concat([bytes, pending.subarray(headEnd, end)]);
    return { head, body, first: { bytes: all, headBytes, complete: body.complete }, end };
  }

  /** Lets go of a head that is given up. */
  reset(): void {
    this.#heads.reset();
    this.#clearTimer();
  }

  #onLate(): void {
    this.#timer = undefined;
    this.#onTimeout();
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
