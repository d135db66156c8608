import type { Socket } from 'node:net';
import { Inbox } from '../../src/mux/inbox.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from '../../src/mux/limits.ts';
import type { Transport } from '../../src/mux/transport.ts';

/** A Transport over a TCP connection: each message behind its length, u32. */
export class TcpTransport extends Inbox implements Transport {
  onDrain: (() => void) | undefined;
  readonly #socket: Socket;
  #read: Buffer = Buffer.alloc(0);
  #wasFull = false;
  #error: Error | undefined;
  #ended = false;

  constructor(socket: Socket) {
    super();
    this.#socket = socket.setNoDelay();
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

  send(message: Uint8Array): void {
    if (!this.#socket.writable) return;
    const length = Buffer.alloc(4);
    length.writeUInt32BE(message.byteLength);
    this.#socket.cork();
    this.#socket.write(length);
    this.#socket.write(message, () => this.#sent());
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
    this.#socket.resume();
  }

  terminate(): void {
    this.#socket.resetAndDestroy();
  }

  #sent(): void {
    if (!this.#wasFull || this.bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES) return;
    this.#wasFull = false;
    this.onDrain?.();
  }

  #take(chunk: Buffer): void {
    this.#read = this.#read.byteLength === 0 ? chunk : Buffer.concat([this.#read, chunk]);
    while (this.#read.byteLength >= 4) {
      const end = 4 + this.#read.readUInt32BE(0);
      if (this.#read.byteLength < end) return;
      const message = this.#read.subarray(4, end);
      this.#read = this.#read.subarray(end);
      this.deliver(message);
    }
  }
}
