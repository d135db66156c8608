import { type Body, opensTunnel, responseBody } from './framing.ts';
import { HeadBytes } from './head-bytes.ts';
import { withFields } from './head-edit.ts';
import type { H1RequestHead } from './request-head.ts';
import { H1ResponseHead } from './response-head.ts';

type Fields = readonly (readonly [name: string, value: string])[];

const CLOSE_FIELD = ['Connection', 'close'] as const;

/** Who passes the answer on. */
export interface AnswerReader {
  /** The next bytes for the caller. */
  onAnswerBytes(bytes: Buffer): void;
  /** The final head is known, nothing of it is passed on yet. @returns whether it is to say that the connection closes */
  onFinalHead(head: H1ResponseHead, untilClose: boolean): boolean;
  /** @param unasked more came than the answer */
  onAnswerComplete(unasked: boolean): void;
  /** What follows is no HTTP, in both directions. */
  onTunnel(): void;
}

/** Reads the answer to one request: its interim heads, then the final one and its body. The bytes pass as they are. */
export class Answer {
  readonly #request: H1RequestHead;
  readonly #reader: AnswerReader;
  readonly #heads = new HeadBytes('response');
  #continued = false;
  /** Set with the head of the final answer. */
  #body: Body | undefined;

  constructor(request: H1RequestHead, reader: AnswerReader) {
    this.#request = request;
    this.#reader = reader;
  }

  /** Whether the caller has the final head, so that nothing else can be answered. */
  get begun(): boolean {
    return this.#body !== undefined;
  }

  /** Whether the end of the connection is the answer's. */
  get untilClose(): boolean {
    return this.#body?.untilClose === true;
  }

  /** Whether the caller was told to send its body. */
  get continued(): boolean {
    return this.#continued;
  }

  /**
   * @param bytes what the answerer sent next; not for what follows a complete answer
   * @param fields go behind those of the final head
   * @throws BadMessage when it cannot be read
   */
  push(bytes: Buffer, fields: Fields): void {
    let at = 0;
    while (this.#body === undefined) {
      const end = this.#heads.push(bytes, at);
      if (end === -1) return;
      const head = new H1ResponseHead(this.#heads.head);
      if (opensTunnel(head, this.#request)) {
        this.#pass(bytes, end, bytes.byteLength, fields);
        this.#reader.onTunnel();
        return;
      }
      if (head.status >= 200) {
        this.#final(head, bytes, end, fields);
        return;
      }
      this.#continued ||= head.status === 100;
      this.#pass(bytes, end, end, []);
      this.#heads.reset();
      at = end;
    }
    const end = this.#body.scan(bytes, at);
    this.#reader.onAnswerBytes(end === bytes.byteLength && at === 0 ? bytes : bytes.subarray(at, end));
    if (this.#body.complete) this.#reader.onAnswerComplete(end < bytes.byteLength);
  }

  #final(head: H1ResponseHead, bytes: Buffer, headEnd: number, fields: Fields): void {
    const body = responseBody(head, this.#request);
    const end = body.scan(bytes, headEnd);
    const saysClose = this.#reader.onFinalHead(head, body.untilClose);
    this.#pass(bytes, headEnd, end, saysClose ? [...fields, CLOSE_FIELD] : fields);
    this.#body = body;
    if (body.complete) this.#reader.onAnswerComplete(end < bytes.byteLength);
  }

  /** Passes a head on that ends at `headEnd` of `bytes`, and what follows it up to `end`. */
  #pass(bytes: Buffer, headEnd: number, end: number, fields: Fields): void {
    const head = this.#heads.head;
    const start = headEnd - head.byteLength;
    if (!this.#heads.begun) {
      this.#reader.onAnswerBytes(withFields(bytes.subarray(start, end), head.byteLength, fields));
      return;
    }
    this.#reader.onAnswerBytes(withFields(head, head.byteLength, fields));
    if (end > headEnd) this.#reader.onAnswerBytes(bytes.subarray(headEnd, end));
  }
}
