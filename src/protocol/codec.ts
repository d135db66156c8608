import { InterceptorError } from '../errors.ts';
import { MAX_STREAM_ID, type StreamId, toStreamId } from '../ids.ts';
import { FRAME_NUMBERS, type Frame, OPEN_KINDS, RESET_REASONS } from './frames.ts';
import { HEADER_BYTES, MAX_CONTROL_BYTES, MAX_FIRST_BYTES, MAX_HOST_BYTES, MAX_PAYLOAD_BYTES } from './limits.ts';

const MAX_CREDIT_BYTES = 2 ** 31 - 1;
/** kind u8, port u16, host length u8. */
const OPEN_FIXED_BYTES = 4;
/** Small messages share a buffer of this size: allocating for each was 7 % of a short stream's cost. */
const SLAB_BYTES = 8 * 1024;
/** Room for a message filled up with data, and a few small frames. Messages wait to be acknowledged: no more than they need. */
const LARGE_BYTES = MAX_PAYLOAD_BYTES + 1024;
/** Large buffers kept for use again: twice what one acknowledgement frees. Fresh memory for each was 17 % in the garbage collector. */
const MAX_SPARE = 16;
const EMPTY = Buffer.alloc(0);

/** Writes the frames of one message into one buffer; the payloads are copied once, into the place they leave from. */
export class MessageWriter {
  #buffer: Buffer = EMPTY;
  readonly #spare: Buffer[] = [];
  #start = 0;
  #end = 0;

  get byteLength(): number {
    return this.#end - this.#start;
  }

  /** @throws InterceptorError PROTOCOL_BAD_FRAME when a field is out of its range: our bug */
  frame(frame: Frame): this {
    switch (frame.type) {
      case 'open': {
        const host = Buffer.from(frame.host, 'utf8');
        check(host.byteLength <= MAX_HOST_BYTES, 'host too long');
        check(isUint16(frame.port), 'port out of range');
        check(frame.firstBytes.byteLength <= MAX_FIRST_BYTES, 'first bytes too long');
        const bodyBytes = OPEN_FIXED_BYTES + host.byteLength + frame.firstBytes.byteLength;
        let at = this.#header(FRAME_NUMBERS.open, frame.streamId, bodyBytes);
        at = this.#buffer.writeUInt8(OPEN_KINDS.indexOf(frame.kind), at);
        at = this.#buffer.writeUInt16BE(frame.port, at);
        at = this.#buffer.writeUInt8(host.byteLength, at);
        this.#buffer.set(host, at);
        this.#buffer.set(frame.firstBytes, at + host.byteLength);
        return this;
      }
      case 'data':
        check(frame.payload.byteLength >= 1, 'empty data');
        check(frame.payload.byteLength <= MAX_PAYLOAD_BYTES, 'data too long');
        this.dataBody(frame.streamId, frame.payload.byteLength).set(frame.payload);
        return this;
      case 'credit': {
        check(isCredit(frame.bytes), 'credit out of range');
        const at = this.#header(FRAME_NUMBERS.credit, frame.streamId, 4);
        this.#buffer.writeUInt32BE(frame.bytes, at);
        return this;
      }
      case 'opened':
      case 'end':
        this.#header(FRAME_NUMBERS[frame.type], frame.streamId, 0);
        return this;
      case 'reset': {
        const at = this.#header(FRAME_NUMBERS.reset, frame.streamId, 1);
        this.#buffer.writeUInt8(RESET_REASONS.indexOf(frame.reason), at);
        return this;
      }
      case 'ping':
      case 'pong': {
        const at = this.#header(FRAME_NUMBERS[frame.type], 0, 8);
        this.#buffer.writeBigUInt64BE(frame.token, at);
        return this;
      }
      case 'control': {
        const body = Buffer.from(frame.text, 'utf8');
        check(body.byteLength >= 1 && body.byteLength <= MAX_CONTROL_BYTES, 'control body out of range');
        const at = this.#header(FRAME_NUMBERS.control, 0, body.byteLength);
        this.#buffer.set(body, at);
        return this;
      }
      case 'ack': {
        const at = this.#header(FRAME_NUMBERS.ack, 0, 8);
        this.#buffer.writeBigUInt64BE(frame.messages, at);
        return this;
      }
      case 'close':
        this.#header(FRAME_NUMBERS.close, 0, 0);
        return this;
      default:
        return frame satisfies never;
    }
  }

  /**
   * Writes a data frame whose body the caller fills.
   * @param bytes 1 … MAX_PAYLOAD_BYTES
   * @returns the body, to be filled before anything else is written
   */
  dataBody(streamId: StreamId, bytes: number): Buffer {
    const at = this.#header(FRAME_NUMBERS.data, streamId, bytes);
    return this.#buffer.subarray(at, at + bytes);
  }

  /** @returns the message; the writer starts a new one, behind it in the same buffer when that is a small one */
  take(): Buffer {
    const message = this.#buffer.subarray(this.#start, this.#end);
    if (this.#buffer.byteLength === LARGE_BYTES) {
      this.#buffer = EMPTY;
      this.#end = 0;
    }
    this.#start = this.#end;
    return message;
  }

  /** Takes back the memory of a message of take() that nobody reads any more. */
  recycle(message: Buffer): void {
    if (message.buffer.byteLength === LARGE_BYTES && this.#spare.length < MAX_SPARE)
      this.#spare.push(Buffer.from(message.buffer));
  }

  /** @returns where the body goes; #buffer may be another one afterwards */
  #header(type: number, streamId: number, bodyBytes: number): number {
    const end = this.#end + HEADER_BYTES + bodyBytes;
    if (end > this.#buffer.byteLength) return this.#moveToLarger(type, streamId, bodyBytes);
    const buffer = this.#buffer;
    const at = this.#end;
    buffer[at] = type;
    buffer.writeUInt32BE(streamId, at + 1);
    this.#end = end;
    return buffer.writeUInt32BE(bodyBytes, at + 5);
  }

  #moveToLarger(type: number, streamId: number, bodyBytes: number): number {
    const written = this.#buffer.subarray(this.#start, this.#end);
    const bytes = written.byteLength + HEADER_BYTES + bodyBytes;
    // A buffer of several small messages, one for a large message, or one of its size for a huge control message.
    const larger =
      bytes <= SLAB_BYTES
        ? Buffer.allocUnsafeSlow(SLAB_BYTES)
        : bytes <= LARGE_BYTES
          ? (this.#spare.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES))
          : Buffer.allocUnsafeSlow(bytes);
    larger.set(written);
    this.#buffer = larger;
    this.#start = 0;
    this.#end = written.byteLength;
    return this.#header(type, streamId, bodyBytes);
  }
}

/** @returns one message holding `frames` @throws InterceptorError PROTOCOL_BAD_FRAME when a field is out of its range */
export function encodeMessage(frames: readonly Frame[]): Buffer {
  const writer = new MessageWriter();
  for (const frame of frames) writer.frame(frame);
  return writer.take();
}

/** @returns a message of one frame @throws InterceptorError PROTOCOL_BAD_FRAME when a field is out of its range */
export function encodeFrame(frame: Frame): Buffer {
  return new MessageWriter().frame(frame).take();
}

/**
 * Reads the frames of one message (PROTOCOL.md "Frames"); the carrier keeps message boundaries, so frames are whole.
 * @param message one or more of: 9-byte header (type u8, stream id u32, length u32, big-endian), then the body
 * @returns the frames; payloads are views into `message`
 * @throws InterceptorError PROTOCOL_BAD_FRAME: no frame, short header, unknown type, or a body wrong for its type
 */
export function decodeMessage(message: Uint8Array): Frame[] {
  const buffer = Buffer.isBuffer(message)
    ? message
    : Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  check(buffer.byteLength > 0, 'empty message');
  const frames: Frame[] = [];
  let at = 0;
  while (at < buffer.byteLength) {
    check(buffer.byteLength - at >= HEADER_BYTES, 'short header');
    const bodyAt = at + HEADER_BYTES;
    const end = bodyAt + buffer.readUInt32BE(at + 5);
    check(end <= buffer.byteLength, 'body beyond the message');
    frames.push(decodeBody(buffer.readUInt8(at), buffer.readUInt32BE(at + 1), buffer, bodyAt, end));
    at = end;
  }
  return frames;
}

function decodeBody(type: number, id: number, buffer: Buffer, at: number, end: number): Frame {
  const bytes = end - at;
  switch (type) {
    case FRAME_NUMBERS.data:
      check(bytes >= 1 && bytes <= MAX_PAYLOAD_BYTES, 'data length');
      return { type: 'data', streamId: streamId(id), payload: buffer.subarray(at, end) };
    case FRAME_NUMBERS.credit: {
      check(bytes === 4, 'credit length');
      const credit = buffer.readUInt32BE(at);
      check(isCredit(credit), 'credit out of range');
      return { type: 'credit', streamId: streamId(id), bytes: credit };
    }
    case FRAME_NUMBERS.open:
      return decodeOpen(streamId(id), buffer, at, end);
    case FRAME_NUMBERS.opened:
      check(bytes === 0, 'opened length');
      return { type: 'opened', streamId: streamId(id) };
    case FRAME_NUMBERS.end:
      check(bytes === 0, 'end length');
      return { type: 'end', streamId: streamId(id) };
    case FRAME_NUMBERS.reset: {
      check(bytes === 1, 'reset length');
      const reason = RESET_REASONS[buffer.readUInt8(at)];
      // A reason of a later version is still a reset.
      return { type: 'reset', streamId: streamId(id), reason: reason ?? 'reset' };
    }
    case FRAME_NUMBERS.ping:
    case FRAME_NUMBERS.pong:
      check(id === 0 && bytes === 8, 'ping length or stream');
      return { type: type === FRAME_NUMBERS.ping ? 'ping' : 'pong', token: buffer.readBigUInt64BE(at) };
    case FRAME_NUMBERS.control:
      check(id === 0 && bytes >= 1 && bytes <= MAX_CONTROL_BYTES, 'control length or stream');
      return { type: 'control', text: utf8(buffer, at, end) };
    case FRAME_NUMBERS.ack:
      check(id === 0 && bytes === 8, 'ack length or stream');
      return { type: 'ack', messages: buffer.readBigUInt64BE(at) };
    case FRAME_NUMBERS.close:
      check(id === 0 && bytes === 0, 'close length or stream');
      return { type: 'close' };
    default:
      throw bad(`unknown frame type ${type}`);
  }
}

function decodeOpen(id: StreamId, buffer: Buffer, at: number, end: number): Frame {
  check(end - at >= OPEN_FIXED_BYTES, 'open length');
  const kind = OPEN_KINDS[buffer.readUInt8(at)];
  check(kind !== undefined, 'unknown open kind');
  const port = buffer.readUInt16BE(at + 1);
  const hostAt = at + OPEN_FIXED_BYTES;
  const hostEnd = hostAt + buffer.readUInt8(at + 3);
  check(hostEnd <= end, 'host beyond the body');
  check(end - hostEnd <= MAX_FIRST_BYTES, 'first bytes too long');
  const host = utf8(buffer, hostAt, hostEnd);
  return { type: 'open', streamId: id, kind, port, host, firstBytes: buffer.subarray(hostEnd, end) };
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(buffer: Buffer, at: number, end: number): string {
  try {
    return strictUtf8.decode(buffer.subarray(at, end));
  } catch (cause) {
    throw new InterceptorError('PROTOCOL_BAD_FRAME', 'bad frame: not UTF-8', { cause });
  }
}

function streamId(value: number): StreamId {
  check(value >= 1 && value <= MAX_STREAM_ID, 'stream id out of range');
  return toStreamId(value);
}

function isUint16(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

function isCredit(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= MAX_CREDIT_BYTES;
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw bad(what);
}

function bad(what: string): InterceptorError {
  return new InterceptorError('PROTOCOL_BAD_FRAME', `bad frame: ${what}`);
}
