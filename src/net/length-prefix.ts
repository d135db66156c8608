/** What a u16 can say: the longest message, DNS or datagram, behind its length. */
export const MAX_PREFIXED_BYTES = 65_535;
const PREFIX_BYTES = 2;

/**
 * A message behind its length: u16, big-endian. The form of datagrams and DNS messages in a stream (PROTOCOL.md "Streams",
 * RFC 1035 §4.2.2).
 * @param message at most MAX_PREFIXED_BYTES; none is a message, too
 * @throws RangeError when it is longer
 */
export function withLength(message: Uint8Array): Buffer {
  const prefixed = Buffer.allocUnsafe(PREFIX_BYTES + message.byteLength);
  prefixed.writeUInt16BE(message.byteLength, 0);
  prefixed.set(message, PREFIX_BYTES);
  return prefixed;
}

/** Takes messages behind u16 lengths out of a byte stream that is cut anywhere. Holds one unfinished message at most. */
export class LengthPrefixReader {
  #chunks: Buffer[] = [];
  #heldBytes = 0;

  /** What was pushed and belongs to a message that is not complete; 0: the stream may end here. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * @param chunk the next bytes of the stream
   * @returns the messages that are complete now, in order; views into what was pushed where a message was not cut
   */
  push(chunk: Buffer): Buffer[] {
    if (chunk.byteLength === 0) return [];
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.byteLength;
    if (this.#heldBytes < this.#wantedBytes()) return [];
    const bytes = this.#join();
    const messages: Buffer[] = [];
    let at = 0;
    while (bytes.byteLength - at >= PREFIX_BYTES) {
      const end = at + PREFIX_BYTES + bytes.readUInt16BE(at);
      if (end > bytes.byteLength) break;
      messages.push(bytes.subarray(at + PREFIX_BYTES, end));
      at = end;
    }
    this.#heldBytes = bytes.byteLength - at;
    this.#chunks = this.#heldBytes === 0 ? [] : [bytes.subarray(at)];
    return messages;
  }

  /** How many bytes the first message takes; only then are the pieces put together, once. */
  #wantedBytes(): number {
    let [first] = this.#chunks;
    if (first !== undefined && first.byteLength < PREFIX_BYTES && this.#heldBytes >= PREFIX_BYTES) first = this.#join();
    return first === undefined || first.byteLength < PREFIX_BYTES ? PREFIX_BYTES : PREFIX_BYTES + first.readUInt16BE(0);
  }

  #join(): Buffer {
    const [first] = this.#chunks;
    const joined = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}
