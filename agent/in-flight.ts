import { isIdempotent } from '../src/http/idempotent.ts';
import { KeepAlive } from './keep-alive.ts';
import { MAX_UNANSWERED_BYTES } from './limits.ts';

/**
 * Follows a connection that is passed on to a laptop as bytes, and keeps the HTTP/1 request of which no byte has been answered:
 * should the laptop vanish, the app can have it, or the caller can be told. Of anything but HTTP/1 nothing is kept.
 */
export class InFlight {
  readonly #keepAlive = new KeepAlive();
  /** The request that is unanswered, from its first byte on; undefined: there is none, or not all of it is kept. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  /** The caller said more while an answer was under way (an upgrade, a body that is still sent): who asks what is unknown. */
  #isMixed = false;
  #isAnswered = false;

  /** Bytes of the caller. */
  asked(chunk: Buffer): void {
    if (this.#isMixed) return;
    if (this.#kept === undefined && this.#isAnswered) {
      if (!this.#keepAlive.isBetween) {
        this.#isMixed = true;
        return;
      }
      this.#kept = [];
      this.#keptBytes = 0;
      this.#isAnswered = false;
    }
    this.#keepAlive.asked(chunk);
    if (!this.#keepAlive.isHttp1) {
      this.#kept = undefined;
      this.#isMixed = true;
      return;
    }
    this.#kept?.push(chunk);
    this.#keptBytes += chunk.byteLength;
    if (this.#keptBytes > MAX_UNANSWERED_BYTES) this.#kept = undefined;
  }

  /** Bytes of the answer. */
  answered(chunk: Buffer): void {
    this.#kept = undefined;
    this.#isAnswered = true;
    if (!this.#isMixed) this.#keepAlive.answered(chunk);
  }

  /** What it keeps. */
  get heldBytes(): number {
    return this.#kept === undefined ? 0 : this.#keptBytes;
  }

  /** Nothing is under way: nothing has been said at all, or all that was asked is answered. */
  get isIdle(): boolean {
    if (this.#isMixed) return false;
    return this.#kept === undefined ? this.#isAnswered && this.#keepAlive.isBetween : this.#keptBytes === 0;
  }

  /** Whether the caller waits for an answer of which nothing has come yet. */
  get isUnanswered(): boolean {
    return !this.#isMixed && !this.#isAnswered && this.#keptBytes > 0;
  }

  /** What somebody else may be asked without harm: all of it is kept, and its method may be sent twice. */
  get replayable(): Buffer[] | undefined {
    if (this.isIdle) return [];
    const [first] = this.#kept ?? [];
    if (this.#isMixed || first === undefined) return undefined;
    const method = /^[A-Z]+(?= )/.exec(first.toString('latin1', 0, 32))?.[0] ?? '';
    return isIdempotent(method) ? this.#kept : undefined;
  }

  /** Whether the request under way is a HEAD, whose answer has no body. */
  get asksHead(): boolean {
    return this.#kept?.[0]?.toString('latin1', 0, 5) === 'HEAD ';
  }
}
