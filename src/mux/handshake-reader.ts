import { type ErrorCode, InterceptorError } from '../errors.ts';
import type { HandshakeMessage } from '../protocol/control.ts';
import type { Transport } from './transport.ts';

interface Waiter {
  readonly resolve: (message: HandshakeMessage) => void;
  readonly reject: (error: unknown) => void;
  readonly lateMessage: string;
  readonly lateCode: ErrorCode;
}

/**
 * Takes one message at a time from a transport and pauses it behind each, so that what follows the last one stays in
 * the transport. One deadline for all of them together.
 */
export class HandshakeReader {
  readonly #transport: Transport;
  readonly #read: (message: Uint8Array) => HandshakeMessage;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort = (): void => this.#fail(this.#signal?.reason);
  #waiter: Waiter | undefined;
  #failure: { readonly error: unknown } | undefined;
  #late = false;
  /** The peer closed the carrier on purpose. */
  closedOrderly = false;

  constructor(
    transport: Transport,
    deadlineMs: number,
    signal: AbortSignal | undefined,
    read: (message: Uint8Array) => HandshakeMessage,
  ) {
    this.#transport = transport;
    this.#read = read;
    this.#signal = signal;
    transport.onMessage = undefined;
    transport.pause();
    transport.onClose = (error) => {
      this.closedOrderly = error === undefined;
      const how = error === undefined ? 'closed by the peer' : error.message;
      this.#fail(
        new InterceptorError('TUNNEL_LOST', `tunnel handshake: the carrier was lost: ${how}`, { cause: error }),
      );
    };
    this.#timer = setTimeout(() => {
      this.#late = true;
      this.#expire();
    }, deadlineMs);
    if (signal?.aborted) this.#onAbort();
    else signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /**
   * @param lateMessage, lateCode what to throw when the deadline passes while waiting
   * @throws what `read` throws; InterceptorError TUNNEL_LOST; the signal's reason
   */
  next(lateMessage: string, lateCode: ErrorCode = 'TUNNEL_UNAUTHENTICATED'): Promise<HandshakeMessage> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure.error);
        return;
      }
      this.#waiter = { resolve, reject, lateMessage, lateCode };
      if (this.#late) {
        this.#expire();
        return;
      }
      this.#transport.onMessage = (message) => this.#take(message);
      this.#transport.resume();
    });
  }

  /** Lets go of the transport; it stays paused. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    if (this.#failure === undefined) this.#transport.onClose = undefined;
  }

  #take(message: Uint8Array): void {
    this.#transport.onMessage = undefined;
    this.#transport.pause();
    const waiter = this.#waiter;
    this.#waiter = undefined;
    try {
      const read = this.#read(message);
      waiter?.resolve(read);
    } catch (error) {
      waiter?.reject(error);
    }
  }

  #expire(): void {
    if (this.#waiter === undefined) return;
    const { lateCode, lateMessage } = this.#waiter;
    this.#fail(new InterceptorError(lateCode, `tunnel handshake: ${lateMessage}`));
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.reject(error);
  }
}
