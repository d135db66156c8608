import { InterceptorError } from '../errors.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from './limits.ts';
import type { Transport } from './transport.ts';
import { violation } from './violation.ts';

/** What a kept message costs beside its bytes: objects, about. A flood of tiny ones must not be free. */
const MESSAGE_COST_BYTES = 256;
/** Below this a buffer is shared by small messages that leave and are acknowledged together. */
const SHARED_BUFFER_BYTES = 8 * 1024;

interface Kept {
  readonly message: Uint8Array;
  readonly onSent: (() => void) | undefined;
  /** The carrier that was given it last and may still read it. */
  reader: Transport | undefined;
  acked: boolean;
}

/** Messages that the peer has not acknowledged, numbered by counting, and how many of them the present carrier was given. */
export class UnackedQueue {
  #kept: (Kept | undefined)[] = [];
  /** Where in #kept the first message that is not acknowledged is. */
  #head = 0;
  /** Where in #kept the next one for the present carrier is. */
  #next = 0;
  #acked = 0;
  /** Messages that any carrier was given. */
  #given = 0;
  /** Kept, with what the keeping costs. */
  bytes = 0;
  /** Kept and not given to the present carrier. */
  unsentBytes = 0;

  /** @param onSent called once the memory of `message` is free: acknowledged, and no carrier reads it any more */
  add(message: Uint8Array, onSent: (() => void) | undefined): void {
    const { byteLength } = message.buffer;
    // A message of some KiB must not hold the buffer of a full one.
    const pins = byteLength > SHARED_BUFFER_BYTES && message.byteLength * 2 < byteLength;
    const kept = pins ? Buffer.from(message) : message;
    if (pins) onSent?.();
    this.#kept.push({ message: kept, onSent: pins ? undefined : onSent, reader: undefined, acked: false });
    this.bytes += message.byteLength + MESSAGE_COST_BYTES;
    this.unsentBytes += message.byteLength;
  }

  /** Gives the carrier what it takes for now. */
  pump(carrier: Transport): void {
    while (carrier.bufferedBytes < TRANSPORT_HIGH_WATER_BYTES && this.sendNext(carrier));
  }

  /** Gives the next message to `carrier`. @returns whether there was one */
  sendNext(carrier: Transport): boolean {
    const kept = this.#kept[this.#next];
    if (kept === undefined) return false;
    this.#next += 1;
    this.#given = Math.max(this.#given, this.#acked + this.#next - this.#head);
    this.unsentBytes -= kept.message.byteLength;
    kept.reader = carrier;
    carrier.send(kept.message, () => {
      if (kept.reader !== carrier) return;
      kept.reader = undefined;
      if (kept.acked) kept.onSent?.();
    });
    return true;
  }

  /** There is a new carrier: it begins with the first that is not acknowledged. */
  rewind(): void {
    for (let at = this.#head; at < this.#next; at += 1) this.unsentBytes += this.#kept[at]?.message.byteLength ?? 0;
    this.#next = this.#head;
  }

  /**
   * The peer has received `count` messages in all.
   * @throws InterceptorError PROTOCOL_BAD_FRAME: more than there were; TUNNEL_LOST: fewer than it said before
   */
  acknowledge(count: number): void {
    if (count > this.#given) {
      throw violation('acknowledges what was never sent');
    }
    if (count < this.#acked) {
      throw new InterceptorError('TUNNEL_LOST', 'the peer asks for messages that it had acknowledged');
    }
    for (; this.#acked < count; this.#acked += 1) {
      const kept = this.#kept[this.#head];
      if (kept === undefined) return;
      this.#kept[this.#head] = undefined;
      this.#head += 1;
      this.bytes -= kept.message.byteLength + MESSAGE_COST_BYTES;
      if (this.#head > this.#next) {
        // Received by way of the carrier before; this one need not be given it.
        this.unsentBytes -= kept.message.byteLength;
        this.#next = this.#head;
      }
      kept.acked = true;
      if (kept.reader === undefined) kept.onSent?.();
    }
    this.#compact();
  }

  clear(): void {
    this.#kept = [];
    this.#head = 0;
    this.#next = 0;
    this.bytes = 0;
    this.unsentBytes = 0;
  }

  #compact(): void {
    if (this.#head < this.#kept.length && this.#head < 1024) return;
    this.#kept.splice(0, this.#head);
    this.#next -= this.#head;
    this.#head = 0;
  }
}
