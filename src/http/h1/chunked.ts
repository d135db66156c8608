import { BadMessage } from './bad-message.ts';
import { Fields } from './fields.ts';
import type { Body } from './framing.ts';
import { MAX_CHUNK_LINE_BYTES, MAX_CHUNK_SIZE_DIGITS, MAX_TRAILER_BYTES } from './limits.ts';

type State =
  | 'size'
  | 'extension'
  | 'quoted'
  | 'escaped'
  | 'size-lf'
  | 'data'
  | 'data-cr'
  | 'data-lf'
  | 'trailers'
  | 'complete';

const CR = 13;
const LF = 10;
const QUOTE = 34;
const SEMICOLON = 59;
const BACKSLASH = 92;
/** What says where a message ends, or is for one hop, cannot come behind the body (RFC 9110 §6.5.1). */
const NOT_BEHIND = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Finds the end of a chunked body with its trailers (RFC 9112 §7.1); whatever is not plainly one is refused. */
export class ChunkedBody implements Body {
  readonly untilClose = false;
  #state: State = 'size';
  #size = 0;
  #digits = 0;
  #lineBytes = 0;
  #trailers = '';

  get complete(): boolean {
    return this.#state === 'complete';
  }

  scan(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.byteLength && this.#state !== 'complete') {
      if (this.#state === 'data') {
        const taken = Math.min(this.#size, chunk.byteLength - at);
        this.#size -= taken;
        at += taken;
        if (this.#size === 0) this.#state = 'data-cr';
      } else {
        this.#byte(chunk[at] ?? 0);
        at += 1;
      }
    }
    return at;
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case 'size':
        this.#countLine();
        this.#sizeByte(byte);
        return;
      case 'extension':
        this.#countLine();
        if (byte === CR) this.#state = 'size-lf';
        else if (byte === QUOTE) this.#state = 'quoted';
        else refuseControl(byte);
        return;
      case 'quoted':
        this.#countLine();
        if (byte === QUOTE) this.#state = 'extension';
        else if (byte === BACKSLASH) this.#state = 'escaped';
        else refuseControl(byte);
        return;
      case 'escaped':
        this.#countLine();
        refuseControl(byte);
        this.#state = 'quoted';
        return;
      case 'size-lf':
        expect(byte, LF, 'a CR without LF in a chunk size');
        this.#lineBytes = 0;
        this.#digits = 0;
        this.#state = this.#size === 0 ? 'trailers' : 'data';
        return;
      case 'data-cr':
        expect(byte, CR, 'a chunk that is longer than its size');
        this.#state = 'data-lf';
        return;
      case 'data-lf':
        expect(byte, LF, 'a chunk that is longer than its size');
        this.#state = 'size';
        return;
      case 'trailers':
        this.#trailerByte(byte);
        return;
      case 'data':
      case 'complete':
        return;
      default:
        this.#state satisfies never;
    }
  }

  #sizeByte(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== -1) {
      this.#digits += 1;
      this.#size = this.#size * 16 + digit;
      if (this.#digits > MAX_CHUNK_SIZE_DIGITS || this.#size > Number.MAX_SAFE_INTEGER) {
        throw new BadMessage('a chunk size that is too large');
      }
      return;
    }
    if (this.#digits === 0) throw new BadMessage('a chunk size that is none');
    if (byte === CR) this.#state = 'size-lf';
    else if (byte === SEMICOLON) this.#state = 'extension';
    else throw new BadMessage('a chunk size that is none');
  }

  #trailerByte(byte: number): void {
    if (this.#trailers.length >= MAX_TRAILER_BYTES) {
      throw new BadMessage(`trailers of more than ${MAX_TRAILER_BYTES} bytes`, 431);
    }
    this.#trailers += String.fromCharCode(byte);
    if (byte !== LF) return;
    if (!this.#trailers.endsWith('\r\n')) throw new BadMessage('a LF without CR');
    if (this.#trailers !== '\r\n' && !this.#trailers.endsWith('\r\n\r\n')) return;
    const fields = new Fields();
    fields.read(this.#trailers, 0);
    const forbidden = fields.names.find((name) => NOT_BEHIND.has(name));
    if (forbidden !== undefined) throw new BadMessage(`the field ${forbidden} behind the body`);
    this.#trailers = '';
    this.#state = 'complete';
  }

  #countLine(): void {
    this.#lineBytes += 1;
    if (this.#lineBytes > MAX_CHUNK_LINE_BYTES) throw new BadMessage('a chunk size line that is too long');
  }
}

function expect(byte: number, wanted: number, otherwise: string): void {
  if (byte !== wanted) throw new BadMessage(otherwise);
}

function refuseControl(byte: number): void {
  if ((byte < 0x20 && byte !== 9) || byte === 0x7f) throw new BadMessage('a control character in a chunk size line');
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
