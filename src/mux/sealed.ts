import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { InterceptorError } from '../errors.ts';
import type { SealKeys } from '../protocol/key-agreement.ts';
import { MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES } from '../protocol/limits.ts';
import type { Transport } from './transport.ts';

const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
/** Behind every message. */
export const SEAL_BYTES = 16;
const WORD = 2 ** 32;
/** A full message of a mux, sealed. Buffers of this size are used again: fresh memory was a fifth of a seal's cost. */
const POOLED_BYTES = MAX_PAYLOAD_BYTES + 1024 + SEAL_BYTES;
const POOLED_FROM_BYTES = POOLED_BYTES / 2;
const MAX_SPARE = 8;

/**
 * A carrier behind its handshake: every message is sealed with AES-256-GCM, with a key of its own for each direction and its
 * number as nonce (PROTOCOL.md "Sealing"). Who sits between can cut the carrier and no more. Takes `carrier` over, paused.
 */
export function sealTransport(carrier: Transport, side: 'session' | 'agent', keys: SealKeys): Transport {
  const toAgent = new Sealer(keys.sessionToAgent);
  const toSession = new Sealer(keys.agentToSession);
  return side === 'session'
    ? new SealedTransport(carrier, toAgent, toSession)
    : new SealedTransport(carrier, toSession, toAgent);
}

/** One direction of one carrier: seals, or opens, one message after the other. */
class Sealer {
  readonly #key: KeyObject;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  readonly #spare: Buffer[] = [];
  #count = 0;

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  seal(message: Uint8Array): Buffer {
    const bytes = message.byteLength + SEAL_BYTES;
    const isPooled = bytes >= POOLED_FROM_BYTES && bytes <= POOLED_BYTES;
    const buffer = isPooled ? (this.#spare.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES)) : Buffer.allocUnsafe(bytes);
    const cipher = createCipheriv(ALGORITHM, this.#key, this.#nextNonce());
    buffer.set(cipher.update(message));
    cipher.final();
    buffer.set(cipher.getAuthTag(), message.byteLength);
    return isPooled ? buffer.subarray(0, bytes) : buffer;
  }

  /** Takes back the memory of what seal() returned and nobody reads any more. */
  recycle(sealed: Buffer): void {
    const { buffer } = sealed;
    if (buffer.byteLength === POOLED_BYTES && this.#spare.length < MAX_SPARE) this.#spare.push(Buffer.from(buffer));
  }

  /** @returns undefined when it is not the next message of the other side */
  open(sealed: Uint8Array): Buffer | undefined {
    const bytes = sealed.byteLength - SEAL_BYTES;
    if (bytes < 0) return undefined;
    const decipher = createDecipheriv(ALGORITHM, this.#key, this.#nextNonce(), { authTagLength: SEAL_BYTES });
    decipher.setAuthTag(sealed.subarray(bytes));
    const message = decipher.update(sealed.subarray(0, bytes));
    try {
      decipher.final();
    } catch {
      return undefined; // changed, from another place in the order, or from another carrier
    }
    return message;
  }

  #nextNonce(): Buffer {
    this.#nonce.writeUInt32BE(Math.floor(this.#count / WORD), 4);
    this.#nonce.writeUInt32BE(this.#count % WORD, 8);
    this.#count += 1;
    return this.#nonce;
  }
}

class SealedTransport implements Transport {
  readonly #carrier: Transport;
  readonly #out: Sealer;
  readonly #in: Sealer;
  #onMessage: Transport['onMessage'];
  #onClose: Transport['onClose'];
  #failure: Error | undefined;

  constructor(carrier: Transport, outgoing: Sealer, incoming: Sealer) {
    this.#carrier = carrier;
    this.#out = outgoing;
    this.#in = incoming;
  }

  get bufferedBytes(): number {
    return this.#carrier.bufferedBytes;
  }

  get onDrain(): Transport['onDrain'] {
    return this.#carrier.onDrain;
  }
  set onDrain(handler: Transport['onDrain']) {
    this.#carrier.onDrain = handler;
  }

  get onMessage(): Transport['onMessage'] {
    return this.#onMessage;
  }
  set onMessage(handler: Transport['onMessage']) {
    this.#onMessage = handler;
    this.#carrier.onMessage = handler === undefined ? undefined : (sealed) => this.#receive(sealed);
  }

  get onClose(): Transport['onClose'] {
    return this.#onClose;
  }
  set onClose(handler: Transport['onClose']) {
    this.#onClose = handler;
    this.#carrier.onClose = handler === undefined ? undefined : (error) => handler(this.#failure ?? error);
  }

  send(message: Uint8Array, onSent?: () => void): void {
    const sealed = this.#out.seal(message);
    this.#carrier.send(sealed, () => this.#out.recycle(sealed));
    onSent?.();
  }

  pause(): void {
    this.#carrier.pause();
  }

  resume(): void {
    this.#carrier.resume();
  }

  close(): void {
    this.#carrier.close();
  }

  terminate(): void {
    this.#carrier.terminate();
  }

  #receive(sealed: Uint8Array): void {
    if (this.#failure !== undefined) return;
    const message = sealed.byteLength > MAX_MESSAGE_BYTES ? undefined : this.#in.open(sealed);
    if (message !== undefined) {
      this.#onMessage?.(message);
      return;
    }
    this.#failure = new InterceptorError('TUNNEL_UNAUTHENTICATED', 'a message that the other end did not send');
    this.#carrier.terminate();
  }
}
