import { InFlight } from './in-flight.ts';
import { OpenDeadline } from './laptop-way.ts';
import type { Reach } from './reach.ts';

export interface LaptopStayOptions {
  /** Of the laptop; undefined: nobody tells that it is gone. */
  readonly reach: Reach | undefined;
  /** How long it may take to say OPENED to a caller of `sinceMs` (performance.now()). */
  readonly maxWaitMs: (sinceMs: number) => number;
  /** It did not say so in time. */
  readonly onLate: () => void;
  /** It is out of reach, and not waited for any longer. May be called again. */
  readonly onGone: () => void;
}

/** A connection's time with a laptop: from the stream that asks for it, by way of its OPENED, until it is left or over. */
export class LaptopStay {
  readonly #deadline: OpenDeadline;
  readonly #ignoreGone: () => void;
  #inFlight: InFlight | undefined;
  #onOver: (() => void) | undefined;

  constructor({ reach, maxWaitMs, onLate, onGone }: LaptopStayOptions) {
    this.#ignoreGone = reach?.onGone(onGone) ?? (() => {});
    this.#deadline = new OpenDeadline(maxWaitMs, onLate);
  }

  /** What the laptop has been asked; undefined until it has taken the connection. */
  get inFlight(): InFlight | undefined {
    return this.#inFlight;
  }

  /** The laptop has said OPENED. @param asked what it got before, from the first byte on @param onOver called when it is left */
  taken(asked: readonly Buffer[], onOver: () => void): void {
    this.#deadline.clear();
    this.#onOver = onOver;
    this.#inFlight = new InFlight();
    for (const chunk of asked) this.#inFlight.asked(chunk);
  }

  /** Another is to answer, or all is closed. May be called twice. */
  leave(): void {
    this.#ignoreGone();
    this.#deadline.clear();
    this.#onOver?.();
    this.#onOver = undefined;
  }
}
