import { confirmEnd } from '../../net/confirm-end.ts';
import { endedWell } from '../../net/ended-well.ts';
import { closeAfterFailedReset } from '../../net/failed-reset.ts';
import type { Resettable } from '../routing.ts';
import { LINGER_MS } from './limits.ts';

/** Who has the connection: an exchange, or the tunnel that it became. */
export interface UpstreamUser {
  onAnswer(bytes: Buffer): void;
  onAnswerEnd(): void;
  /** The connection is closed; without onAnswerEnd() before, or with unsent bytes, it was cut. */
  onUpstreamClose(): void;
  onUpstreamDrain(): void;
}

/** A connection to an answerer, kept from request to request: one set of listeners for its whole life. */
export class Upstream {
  readonly id: string;
  readonly stream: Resettable;
  /** Undefined while it is kept for the next request. */
  user: UpstreamUser | undefined;
  /** It can take no further request. */
  over = false;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param onGone called when it cannot be used any more (`closed`: nor is there anything left of it), maybe twice */
  constructor(id: string, stream: Resettable, onGone: (upstream: Upstream, closed: boolean) => void) {
    this.id = id;
    this.stream = stream;
    closeAfterFailedReset(stream);
    stream.on('data', (bytes: Buffer) => {
      if (this.user !== undefined) this.user.onAnswer(bytes);
      else if (!this.over) this.cut(); // nobody asked
    });
    stream.on('end', () =>
      confirmEnd(stream, () => {
        this.over = true;
        if (this.user === undefined) {
          onGone(this, false);
          this.end();
        } else this.user.onAnswerEnd();
      }),
    );
    stream.on('drain', () => this.user?.onUpstreamDrain());
    stream.on('close', () => {
      if (this.#closed) return;
      this.#closed = true;
      this.over = true;
      clearTimeout(this.#timer);
      const user = this.user;
      this.user = undefined;
      user?.onUpstreamClose();
      onGone(this, true);
    });
  }

  /** Whether both directions came to their ends. */
  get endedWell(): boolean {
    return endedWell(this.stream);
  }

  /** Ends it without a user; it is cut when the other side does not end, too. */
  end(): void {
    this.over = true;
    this.user = undefined;
    if (this.#closed) return;
    this.stream.end();
    this.stream.resume();
    this.#timer ??= setTimeout(() => this.cut(), LINGER_MS);
  }

  /** Resets it: the answerer sees a failure. */
  cut(): void {
    this.over = true;
    resetAndClose(this.stream);
  }
}

/** Resets a side; one whose peer does not read would wait for its unsent bytes and is destroyed after a while. */
export function resetAndClose(side: Resettable): void {
  if (side.destroyed) return;
  side.resetAndDestroy();
  if (side.destroyed) return;
  const timer = setTimeout(() => side.destroy(), LINGER_MS);
  side.once('close', () => clearTimeout(timer));
}
