import { Duplex } from 'node:stream';
import type { StreamId } from '../ids.ts';
import type { ResetReason } from '../protocol/frames.ts';
import type { Channel, OpenInfo } from './channel.ts';

/** Read ahead of the reader, in Node's buffer: next to nothing, so that credit means what was really taken. */
const READ_AHEAD_BYTES = 1;
const WRITE_BUFFER_BYTES = 64 * 1024;

const SYSTEM_CODES: Record<ResetReason, string> = {
  reset: 'ECONNRESET',
  refused: 'ECONNREFUSED',
  unreachable: 'EHOSTUNREACH',
  timeout: 'ETIMEDOUT',
  limit: 'ECONNRESET',
  gone: 'ECONNRESET',
  'not-found': 'ENOTFOUND',
};

/** The error of a stream that was reset; `code` is what a socket in its place would have said. */
export class StreamResetError extends Error {
  readonly reason: ResetReason;
  readonly code: string;

  constructor(reason: ResetReason) {
    super(reason === 'gone' ? 'the tunnel of this stream is gone' : `stream reset by its peer: ${reason}`);
    this.name = 'StreamResetError';
    this.reason = reason;
    this.code = SYSTEM_CODES[reason];
  }
}

/**
 * One connection inside a tunnel. Half-open: end() closes one direction. destroy() before both directions have ended is
 * a reset at the peer. An 'error' without a listener is dropped: 'close' follows and tells as much.
 */
export class MuxStream extends Duplex {
  readonly id: StreamId;
  /** What the open frame asked for. */
  readonly info: OpenInfo;
  /** Set when the peer reset the stream; 'gone' also when the tunnel was lost. */
  resetReason: ResetReason | undefined;
  readonly #channel: Channel;
  #openedState: 'waiting' | 'opened' | 'failed' = 'waiting';
  #opened: { readonly promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } | undefined;
  #wanted = false;
  #endPushed = false;
  #reasonToSend: ResetReason = 'reset';

  /** Made by Mux only. */
  constructor(channel: Channel) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: READ_AHEAD_BYTES,
      writableHighWaterMark: WRITE_BUFFER_BYTES,
    });
    this.#channel = channel;
    this.id = channel.id;
    this.info = channel.info;
    this.on('error', dropError);
    channel.events = {
      onReadable: () => this.#drain(),
      onOpened: () => this.#settleOpened(undefined),
      onReset: (reason) => {
        this.resetReason = reason;
        this.destroy(new StreamResetError(reason));
      },
    };
  }

  /** Resolves when the peer accepted (opener) or we did (acceptor); rejects with StreamResetError. Needs no handler. */
  get opened(): Promise<void> {
    // Made when asked for: most streams are never asked.
    this.#opened ??= deferred();
    if (this.#openedState === 'opened') this.#opened.resolve();
    if (this.#openedState === 'failed') this.#opened.reject(this.#openingError());
    return this.#opened.promise;
  }

  /** Acceptor: tells the opener that the stream is connected. What was written before goes out behind it. */
  accept(): void {
    this.#channel.accept();
    this.#settleOpened(undefined);
  }

  /** Acceptor: says why there will be no connection. After accept() it is a plain reset. */
  refuse(reason: ResetReason): void {
    this.resetAndDestroy(reason);
  }

  /** Drops what is unsent and unread; the peer sees a reset. */
  resetAndDestroy(reason: ResetReason = 'reset'): this {
    if (!this.destroyed) this.#reasonToSend = reason;
    return this.destroy();
  }

  override _read(): void {
    this.#wanted = true;
    this.#drain();
  }

  #drain(): void {
    while (this.#wanted && !this.destroyed) {
      const chunk = this.#channel.shift();
      if (chunk === undefined) break;
      this.#wanted = this.push(chunk);
    }
    if (!this.#endPushed && !this.destroyed && this.#channel.isReadToEnd) {
      this.#endPushed = true;
      this.push(null);
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#channel.write([chunk], done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#channel.write(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#channel.end(done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#channel.release(this.#reasonToSend);
    this.#settleOpened(error ?? 'destroyed');
    done(error);
  }

  /** @param failure undefined: it is open; 'destroyed': destroyed on this side without an error */
  #settleOpened(failure: Error | 'destroyed' | undefined): void {
    if (this.#openedState !== 'waiting') return;
    this.#openedState = failure === undefined ? 'opened' : 'failed';
    if (failure === undefined) this.#opened?.resolve();
    else this.#opened?.reject(failure === 'destroyed' ? this.#openingError() : failure);
  }

  #openingError(): Error {
    return this.errored ?? new StreamResetError(this.resetReason ?? this.#reasonToSend);
  }

  // What node:http asks of a socket; a stream needs none of it.
  setKeepAlive(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setTimeout(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
}

function dropError(): void {} // 'close' tells

function deferred(): { readonly promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve = (): void => {};
  let reject = (_error: Error): void => {};
  const promise = new Promise<void>((settle, fail) => {
    resolve = settle;
    reject = fail;
  });
  promise.catch(() => {}); // whoever waits sees it; nobody has to wait
  return { promise, resolve, reject };
}
