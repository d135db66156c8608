import type { Socket } from 'node:net';
import { Inbox } from '../../mux/inbox.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from '../../mux/limits.ts';
import type { Transport } from '../../mux/transport.ts';
import { MAX_MESSAGE_BYTES } from '../../protocol/limits.ts';

const LENGTH_BYTES = 4;
/** A peer that does not close after we did is cut. */
const CLOSE_DEADLINE_MS = 2_000;

/**
 * A Transport over a connected byte stream between processes of one user (a UNIX socket): each message behind its length,
 * u32 big-endian. Takes the socket over.
 */
export class SocketTransport extends Inbox implements Transport {
  onDrain: (() => void) | undefined;
  readonly #socket: Socket;
  #chunks: Buffer[] = [];
  #readBytes = 0;
  /** Of the message that comes next, its length included; at least what is needed to know it. */
  #wantedBytes = LENGTH_BYTES;
  #wasFull = false;
  #error: Error | undefined;
  #ended = false;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('end', () => {
      this.#ended = true;
      socket.end();
    });
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('close', () => this.finish(this.#error ?? (this.#ended ? undefined : new Error('connection cut'))));
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  send(message: Uint8Array, onSent?: () => void): void {
    if (!this.#socket.writable) return;
    const length = Buffer.allocUnsafe(LENGTH_BYTES);
    length.writeUInt32BE(message.byteLength);
    this.#socket.cork();
    this.#socket.write(length);
    this.#socket.write(message, () => {
      onSent?.();
      this.#sent();
    });
    this.#socket.uncork();
    if (this.bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES) this.#wasFull = true;
  }

  override pause(): void {
    super.pause();
    this.#socket.pause();
  }

  override resume(): void {
    super.resume();
    this.#socket.resume();
  }

  close(): void {
    this.#socket.end();
    this.#socket.resume(); // its end is behind what nobody reads any more
    const timer = setTimeout(() => this.terminate(), CLOSE_DEADLINE_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  }

  /** UNIX sockets know no reset: what is cut between two messages ends, and the mux takes any end of its carrier as a loss. */
  terminate(): void {
    this.#socket.destroy();
  }

  #sent(): void {
    if (!this.#wasFull || this.bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES) return;
    this.#wasFull = false;
    this.onDrain?.();
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#readBytes += chunk.byteLength;
    if (this.#readBytes < this.#wantedBytes) return;
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    for (;;) {
      this.#wantedBytes = LENGTH_BYTES;
      if (bytes.byteLength < LENGTH_BYTES) break;
      const length = bytes.readUInt32BE(0);
      if (length > MAX_MESSAGE_BYTES) {
        this.#socket.destroy(new Error(`a message of ${length} bytes`));
        return;
      }
      this.#wantedBytes += length;
      if (bytes.byteLength < this.#wantedBytes) break;
      this.deliver(bytes.subarray(LENGTH_BYTES, this.#wantedBytes));
      bytes = bytes.subarray(this.#wantedBytes);
    }
    this.#chunks = bytes.byteLength === 0 ? [] : [bytes];
    this.#readBytes = bytes.byteLength;
  }
}
