import { FrameEnds } from '../src/http/h2/frame-ends.ts';

/** What is looked at of an answer's head. */
const MAX_HEAD_BYTES = 8 * 1024;
const LAST_CHUNK = '0\r\n\r\n';

/** Whether bytes begin like an HTTP/1 request. */
export function beginsLikeHttp(bytes: Buffer): boolean {
  return /^[A-Z]{1,20} \S{1,2000}( HTTP\/1\.|$)/.test(bytes.toString('latin1', 0, 2_048));
}

/**
 * Follows a connection that is passed on as bytes, and tells when it is certain to be between two HTTP/1 requests: the
 * last bytes were the answer's, and they are all that its head announced. What it cannot be sure of (an answer to HEAD, one
 * without a length) counts as under way. Of HTTP/2 it tells where frames of the answering side end.
 */
export class KeepAlive {
  #speaks: 'http1' | 'http2' | 'other' | undefined;
  #frames: FrameEnds | undefined;
  #head: Buffer | undefined;
  #tail = '';
  #answerBytes = 0;
  #lastMs = 0;

  /** Bytes of the caller. */
  asked(chunk: Buffer): void {
    if (this.#speaks === undefined) {
      this.#speaks = kindOf(chunk);
      if (this.#speaks === 'http2') this.#frames = new FrameEnds();
    }
    this.#head = undefined;
    this.#answerBytes = 0;
  }

  /** Bytes of the answer. */
  answered(chunk: Buffer): void {
    this.#frames?.push(chunk);
    if (this.#speaks !== 'http1') return;
    if (this.#answerBytes === 0)
      this.#head = chunk.byteLength <= MAX_HEAD_BYTES ? chunk : Buffer.from(chunk.subarray(0, MAX_HEAD_BYTES));
    this.#answerBytes += chunk.byteLength;
    const end = chunk.toString('latin1', Math.max(0, chunk.byteLength - LAST_CHUNK.length));
    this.#tail = (this.#tail + end).slice(-LAST_CHUNK.length);
    this.#lastMs = performance.now();
  }

  /** Set for HTTP/2. */
  get frames(): FrameEnds | undefined {
    return this.#frames;
  }

  /** Whether what the caller said first is HTTP/1. */
  get isHttp1(): boolean {
    return this.#speaks === 'http1';
  }

  /** Whether it is certain that the last answer is complete and nothing was asked since. */
  get isBetween(): boolean {
    return this.#head !== undefined && this.#isComplete(this.#head.toString('latin1'));
  }

  /** How long nothing has come since an answer was complete; 0 while one may be under way. */
  get idleMs(): number {
    return this.isBetween ? performance.now() - this.#lastMs : 0;
  }

  #isComplete(text: string): boolean {
    const headEnd = text.indexOf('\r\n\r\n');
    if (headEnd < 0) return false;
    const head = text.slice(0, headEnd);
    const status = /^HTTP\/1\.\d (\d{3})/.exec(head)?.[1];
    if (status === undefined || status.startsWith('1')) return false;
    const bodyBytes = this.#answerBytes - headEnd - 4;
    if (/^transfer-encoding:.*chunked/im.test(head)) return this.#tail === LAST_CHUNK;
    const length = /^content-length:[ \t]*(\d{1,15})[ \t]*$/im.exec(head)?.[1];
    if (length !== undefined) return bodyBytes === Number(length);
    return bodyBytes === 0 && (status === '204' || status === '304');
  }
}

function kindOf(first: Buffer): 'http1' | 'http2' | 'other' {
  if (first.toString('latin1', 0, 14) === 'PRI * HTTP/2.0') return 'http2'; // RFC 9113 §3.4
  return beginsLikeHttp(first) ? 'http1' : 'other';
}
