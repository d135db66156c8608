import { errorText } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import type { OpenInfo } from '../src/mux/mux.ts';
import type { Claim } from './claim.ts';
import { MAX_HOLD_MS, OPEN_TIMEOUT_MS } from './limits.ts';
import { type SessionCarrier, userAtHost } from './session.ts';
import { type LaptopStream, reset } from './sides.ts';

/** A tunnel as routers use it; a Mux is one. */
export interface LaptopCarrier extends SessionCarrier {
  open(info: OpenInfo): LaptopStream;
}

/** A stream to the laptop for a caller; undefined: it is not to answer now, or cannot. Never throws. */
export function openStream(claim: Claim<LaptopCarrier>, callerHost: string, log: Log): LaptopStream | undefined {
  const { carrier } = claim;
  if (carrier === undefined) return undefined;
  const { appPort } = claim.intercept;
  try {
    return carrier.open({ kind: 'incoming', port: appPort, host: callerHost });
  } catch (failure) {
    log.debug('no stream to the laptop', { appPort, reason: errorText(failure) });
    return undefined;
  }
}

/**
 * A stream that the laptop's process has taken.
 * @throws what kept it from that: refused, silent for too long, the laptop gone, `signal`'s reason
 */
export async function connectLaptop(
  claim: Claim<LaptopCarrier>,
  callerHost: string,
  signal: AbortSignal,
  log: Log,
): Promise<LaptopStream> {
  await claim.session.reach.settled(signal);
  const stream = openStream(claim, callerHost, log);
  if (stream === undefined) throw new Error('the laptop is not there');
  const abort = (): void => reset(stream);
  const deadline = new OpenDeadline((sinceMs) => maxWaitMs(claim, sinceMs), abort);
  const leave = claim.session.reach.onGone(abort);
  signal.addEventListener('abort', abort);
  try {
    await stream.opened;
    // Reset in the same turn: its 'close' has been, and nobody would hear of it any more.
    if (stream.destroyed) throw new Error('the process closed the connection at once');
    return stream;
  } catch (failure) {
    reset(stream);
    throw failure;
  } finally {
    leave();
    deadline.clear();
    signal.removeEventListener('abort', abort);
  }
}

/**
 * How long a caller that came at `sinceMs` (performance.now()) may wait for the laptop, all in all. One that is there when
 * the process goes has all of the hold, and when it is back the usual time again.
 */
export function maxWaitMs(claim: Claim<LaptopCarrier>, sinceMs: number): number {
  const waitedMs = claim.to === 'app' ? 0 : Math.max(0, claim.toSinceMs - sinceMs);
  return Math.min(waitedMs + Math.max(OPEN_TIMEOUT_MS, claim.holdMs), MAX_HOLD_MS + OPEN_TIMEOUT_MS);
}

/** A deadline that may be put off while it runs: when it is over, what it is now is asked. */
export class OpenDeadline {
  readonly #startMs = performance.now();
  readonly #maxMs: (sinceMs: number) => number;
  readonly #onOver: () => void;
  #timer: NodeJS.Timeout;

  /** @param maxMs from now, `sinceMs` */
  constructor(maxMs: (sinceMs: number) => number, onOver: () => void) {
    this.#maxMs = maxMs;
    this.#onOver = onOver;
    // Whoever is held from the beginning may be let go before: the usual deadline is looked at first.
    this.#timer = this.#arm(Math.min(maxMs(this.#startMs), OPEN_TIMEOUT_MS));
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #arm(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      const leftMs = this.#startMs + this.#maxMs(this.#startMs) - performance.now();
      if (leftMs <= 0) this.#onOver();
      else this.#timer = this.#arm(Math.min(leftMs, OPEN_TIMEOUT_MS));
    }, delayMs);
  }
}

/** Whether callers whom the laptop does not take get no answer at all. Callers are left alone until it has been the laptop's. */
export function refuses(claim: Claim<LaptopCarrier>): boolean {
  return claim.intercept.fallback === 'refuse' && claim.hasBegun;
}

/** Told to callers who get no answer. */
export function whyNoAnswer(claim: Claim<LaptopCarrier>): string {
  const place = userAtHost(claim.session);
  if (claim.session.carrier === undefined) return `the session of ${place} was lost`;
  if (claim.session.reach.state !== 'reachable') return `the laptop of ${place} is out of reach`;
  return `nothing listens on the laptop of ${place}`;
}
