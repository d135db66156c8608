import type { Frame } from '../protocol/frames.ts';
import type { LinkLimits } from './limits.ts';

/** The link, as its answers see it. */
export interface Answering {
  readonly limits: LinkLimits;
  /** Messages received, once they may be acknowledged; undefined: not now. */
  acknowledgeable(): number | undefined;
  /** Whether the carrier takes more now; what waits in it is a sign of life as well. */
  hasRoom(): boolean;
  say(frame: Frame): void;
}

/** Pongs and acknowledgements: few, and none where the carrier is full; flush() is called once it is not. */
export class Answers {
  readonly #link: Answering;
  #toAckBytes = 0;
  #ackDue = false;
  #ackTimer: NodeJS.Timeout | undefined;
  #pongDue: bigint | undefined;
  #isScheduled = false;

  constructor(link: Answering) {
    this.#link = link;
  }

  get timers(): number {
    return this.#ackTimer === undefined ? 0 : 1;
  }

  /** Only the latest is answered: a flood of pings costs one pong. */
  ping(token: bigint): void {
    this.#pongDue = token;
    this.#schedule();
  }

  /** A message of so many bytes is to be acknowledged, before long. */
  received(bytes: number): void {
    this.#toAckBytes += bytes;
    if (this.#toAckBytes >= this.#link.limits.ackEveryBytes) {
      this.#ackDue = true;
      this.#schedule();
      return;
    }
    this.#ackTimer ??= setTimeout(() => {
      this.#ackTimer = undefined;
      this.#ackDue = true;
      this.flush();
    }, this.#link.limits.ackDelayMs);
  }

  flush(): void {
    if (!this.#link.hasRoom()) return;
    if (this.#pongDue !== undefined) this.#link.say({ type: 'pong', token: this.#pongDue });
    this.#pongDue = undefined;
    const messages = this.#ackDue ? this.#link.acknowledgeable() : undefined;
    if (messages === undefined) return;
    this.#ackDue = false;
    this.#toAckBytes = 0;
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#link.say({ type: 'ack', messages: BigInt(messages) });
  }

  /** The carrier is gone; what was due is told by the next one's handshake. */
  clear(): void {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    this.#ackDue = false;
    this.#toAckBytes = 0;
    this.#pongDue = undefined;
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }
}
