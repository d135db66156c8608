import type { Http2Session } from 'node:http2';
import { FEW_STREAMS, MANY_STREAMS, SMALL_WINDOW_BYTES, STREAM_WINDOW_BYTES } from './limits.ts';

/** Keeps the windows that a peer gets in proportion to the streams it has open, so that their sum stays bounded. */
export class Windows {
  readonly #session: Http2Session;
  #open = 0;
  #areSmall = false;

  /** @param session made with STREAM_WINDOW_BYTES */
  constructor(session: Http2Session) {
    this.#session = session;
  }

  opened(): void {
    this.#open += 1;
    if (!this.#areSmall && this.#open > MANY_STREAMS) this.#set(true);
  }

  closed(): void {
    this.#open -= 1;
    if (this.#areSmall && this.#open < FEW_STREAMS) this.#set(false);
  }

  #set(small: boolean): void {
    const session = this.#session;
    // One change at a time: Node closes a session whose peer acknowledges none of many.
    if (session.destroyed || session.closed || session.pendingSettingsAck) return;
    this.#areSmall = small;
    session.settings({ initialWindowSize: small ? SMALL_WINDOW_BYTES : STREAM_WINDOW_BYTES });
  }
}
