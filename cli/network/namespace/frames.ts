/** What the helper inside and the session tell each other (inside/serve.py): words and, for some, bytes. */
export interface HelperFrame {
  readonly words: readonly string[];
  readonly payload: Buffer;
}

const HEADER_BYTES = 6;
/** A datagram of 64 KiB and its flow, with room to spare; more is no frame of ours. */
export const MAX_FRAME_BYTES = 1 << 20;

/** u32 length of what follows, u16 length of the words, words separated by spaces (ASCII), payload. */
export function encodeFrame(words: readonly string[], payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = words.join(' ');
  const frame = Buffer.allocUnsafe(HEADER_BYTES + head.length + payload.length);
  frame.writeUInt32BE(2 + head.length + payload.length, 0);
  frame.writeUInt16BE(head.length, 4);
  frame.write(head, HEADER_BYTES, 'latin1');
  payload.copy(frame, HEADER_BYTES + head.length);
  return frame;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * @returns the frames completed by `chunk`; payloads are views, valid until the next call
   * @throws Error for a length that no frame has
   */
  push(chunk: Buffer): HelperFrame[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: HelperFrame[] = [];
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = bytes.readUInt32BE(at);
      const headBytes = bytes.readUInt16BE(at + 4);
      if (length > MAX_FRAME_BYTES || headBytes + 2 > length) throw new Error(`no frame: ${length} bytes`);
      const end = at + 4 + length;
      if (bytes.length < end) break;
      const payloadAt = at + HEADER_BYTES + headBytes;
      frames.push({
        words: bytes.toString('latin1', at + HEADER_BYTES, payloadAt).split(' '),
        payload: bytes.subarray(payloadAt, end),
      });
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return frames;
  }
}
