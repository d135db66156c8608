import { Duplex } from 'node:stream';
import type { StreamId } from '../ids.ts';
import type { ResetReason } from '../protocol/frames.ts';

/** ROUGH: the public shape; the working body follows in the next commits. */
export class MuxStream extends Duplex {
  readonly id: StreamId;
  /** Opener: resolves on OPENED, rejects with the reset; never an unhandled rejection. */
  readonly opened: Promise<void>;
  /** Set when the peer reset the stream, or 'gone' when the tunnel was lost. */
  resetReason: ResetReason | undefined;

  constructor(id: StreamId) {
    super({ allowHalfOpen: true });
    this.id = id;
    this.opened = Promise.resolve();
  }

  /** Acceptor: tells the opener that the stream is connected. */
  accept(): void {}

  /** Acceptor: resets the stream before accept(). */
  refuse(reason: ResetReason): void {
    this.resetAndDestroy(reason);
  }

  /** Drops what is unsent and unread; the peer sees a reset. */
  resetAndDestroy(_reason: ResetReason = 'reset'): this {
    return this.destroy();
  }

  // What node:http asks of a socket.
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
