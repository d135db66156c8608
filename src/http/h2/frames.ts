/** What a client says first (RFC 9113 §3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const FRAME_HEAD_BYTES = 9;
export const SETTINGS = 0x4;
const HEADERS = 0x1;
const CONTINUATION = 0x9;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;
/** What every peer takes (RFC 9113 §4.2). */
const MAX_FRAME_BYTES = 16 * 1024;
const LITERAL = 0x00;
const NEVER_INDEXED = 0x10;
/** Credentials stay out of every hop's table (RFC 7541 §7.1.3). */
const SECRET = new Set(['authorization', 'cookie', 'proxy-authorization']);

/** One frame (RFC 9113 §4.1). */
export function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

/**
 * GOAWAY of a graceful shutdown (RFC 9113 §6.8): no new streams, those there are (up to 2^31-1) are finished; the client
 * closes the connection then and opens another.
 */
export const GOAWAY = frame(0x7, 0, 0, Buffer.from('7fffffff00000000', 'hex'));

/** The payload's length and the type of a frame that begins at `at`; undefined: its head is not here yet. */
export function frameHead(bytes: Buffer, at: number): { length: number; type: number; streamId: number } | undefined {
  if (bytes.byteLength < at + FRAME_HEAD_BYTES) return undefined;
  return {
    length: bytes.readUIntBE(at, 3),
    type: bytes[at + 3] ?? 0,
    streamId: bytes.readUInt32BE(at + 5) & 0x7fffffff,
  };
}

/** A head that is a whole request, as frames: every field literal and in no table, so that both ends' tables stay as they are. */
export function headersFrames(streamId: number, fields: readonly (readonly [name: string, value: string])[]): Buffer {
  const block = Buffer.concat(fields.flatMap(([name, value]) => literal(name, Buffer.from(value, 'latin1'))));
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.byteLength; at += MAX_FRAME_BYTES) {
    const part = block.subarray(at, at + MAX_FRAME_BYTES);
    const isLast = at + MAX_FRAME_BYTES >= block.byteLength;
    const flags = (at === 0 ? END_STREAM : 0) | (isLast ? END_HEADERS : 0);
    frames.push(frame(at === 0 ? HEADERS : CONTINUATION, flags, streamId, part));
  }
  return Buffer.concat(frames);
}

/** RFC 7541 §6.2.2 and §6.2.3, the name spelled out, no Huffman code. */
function literal(name: string, value: Buffer): Buffer[] {
  const kind = Buffer.from([SECRET.has(name) ? NEVER_INDEXED : LITERAL]);
  return [kind, lengthOf(name.length), Buffer.from(name, 'latin1'), lengthOf(value.byteLength), value];
}

/** An integer with a prefix of seven bits (RFC 7541 §5.1). */
function lengthOf(length: number): Buffer {
  const most = 0x7f;
  if (length < most) return Buffer.from([length]);
  const bytes = [most];
  let rest = length - most;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
