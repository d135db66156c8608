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
  /** How long the request is that was asked last; `chunked`: to its last chunk; undefined: its head could not be looked at. */
  #askedLength: number | 'chunked' | undefined;
  #askedBytes = 0;
  #askedTail = '';
  /** Another request was sent before the answer to this one: whose an answer is cannot be told any more. */
  #isPipelined = false;

  /** Bytes of the caller. */
  asked(chunk: Buffer): void {
    if (this.#speaks === undefined) {
      this.#speaks = kindOf(chunk);
      if (this.#speaks === 'http2') this.#frames = new FrameEnds();
    }
    if (this.#speaks === 'http1') this.#followRequest(chunk);
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
    this.#tail = tailOf(this.#tail, chunk);
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
    if (this.#head === undefined || this.#isPipelined || this.#isUploading) return false;
    return this.#isComplete(this.#head.toString('latin1'));
  }

  /** More of the request is to come: an answer that is complete by now was an early one. */
  get #isUploading(): boolean {
    if (this.#askedLength === 'chunked') return this.#askedTail !== LAST_CHUNK;
    return this.#askedLength !== undefined && this.#askedBytes < this.#askedLength;
  }

  #followRequest(chunk: Buffer): void {
    const begins = this.#askedBytes === 0 || (this.#head !== undefined && !this.#isUploading);
    if (begins) {
      this.#askedLength = requestLength(chunk);
      this.#askedBytes = 0;
      this.#askedTail = '';
    }
    this.#askedBytes += chunk.byteLength;
    if (this.#askedLength === 'chunked') this.#askedTail = tailOf(this.#askedTail, chunk);
    else if (this.#askedLength !== undefined && this.#askedBytes > this.#askedLength) this.#isPipelined = true;
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

/** What came last, as far as it takes to know the last chunk. */
function tailOf(before: string, chunk: Buffer): string {
  const end = chunk.toString('latin1', Math.max(0, chunk.byteLength - LAST_CHUNK.length));
  return (before + end).slice(-LAST_CHUNK.length);
}

/** How long a request is that begins with these bytes; undefined: not all of its head is among them. */
function requestLength(first: Buffer): number | 'chunked' | undefined {
  const text = first.toString('latin1', 0, MAX_HEAD_BYTES);
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = text.slice(0, headEnd);
  if (/^transfer-encoding:/im.test(head)) return 'chunked';
  const length = /^content-length:[ \t]*(\d{1,15})[ \t]*$/im.exec(head)?.[1];
  return headEnd + 4 + Number(length ?? 0);
}

function kindOf(first: Buffer): 'http1' | 'http2' | 'other' {
  if (first.toString('latin1', 0, 14) === 'PRI * HTTP/2.0') return 'http2'; // RFC 9113 §3.4
  return beginsLikeHttp(first) ? 'http1' : 'other';
}
