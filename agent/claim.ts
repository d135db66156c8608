import type { TlsEnding } from '../src/http/detect.ts';
import { type CompiledFilter, compileFilter } from '../src/http/filters/match.ts';
import { tlsEnding } from '../src/net/tls.ts';
import type { Intercept, InterceptStatus, RouteTo } from '../src/protocol/control.ts';
import type { Session, SessionCarrier } from './session.ts';

/** What one session has of one port, and what has come of it. */
export class Claim<Carrier extends SessionCarrier> {
  readonly session: Session<Carrier>;
  readonly intercept: Omit<Intercept, 'to'>;
  readonly filter: CompiledFilter | undefined;
  readonly tls: TlsEnding | undefined;
  /** Later claims have higher numbers. A claim that is made again keeps its own. */
  readonly order: number;
  readonly #maxHoldMs: number;
  /** One for all claims of the same that follow each other. */
  readonly #counts: { taken: number; open: number; dropped: number; hasBegun: boolean };
  #to: RouteTo = 'app';
  /** performance.now() */
  #toSinceMs = Number.NEGATIVE_INFINITY;

  /**
   * @param intercept with TLS as texts, checked (withTlsTexts)
   * @param before the session's claim of the same, if it has one: number and counts go on
   */
  constructor(
    session: Session<Carrier>,
    intercept: Omit<Intercept, 'to'>,
    order: number,
    holdMs: number,
    before?: Claim<Carrier>,
  ) {
    this.session = session;
    this.intercept = intercept;
    this.filter = intercept.filter === undefined ? undefined : compileFilter(intercept.filter);
    this.tls = intercept.tls === undefined || !('key' in intercept.tls) ? undefined : tlsEnding(intercept.tls);
    this.order = before?.order ?? order;
    this.#maxHoldMs = holdMs;
    this.#counts = before === undefined ? { taken: 0, open: 0, dropped: 0, hasBegun: false } : before.#counts;
  }

  /** Who answers, as the session said last. */
  get to(): RouteTo {
    return this.#to;
  }

  set to(to: RouteTo) {
    if (to !== this.#to) this.#toSinceMs = performance.now();
    this.#to = to;
    if (to !== 'app') this.#counts.hasBegun = true;
  }

  /** Since when, as performance.now(). */
  get toSinceMs(): number {
    return this.#toSinceMs;
  }

  /** It has been the laptop's at least once: from then on `fallback: 'refuse'` holds. */
  get hasBegun(): boolean {
    return this.#counts.hasBegun;
  }

  /** How long callers may wait beyond the usual; 0 unless the port is held. */
  get holdMs(): number {
    return this.#to === 'held' ? this.#maxHoldMs : 0;
  }

  /** Where new callers go; undefined: not to the laptop. */
  get carrier(): Carrier | undefined {
    return this.session.reach.state === 'reachable' ? this.carrierOrSoon : undefined;
  }

  /** As `carrier`, and also while callers are to wait for the laptop to be back. */
  get carrierOrSoon(): Carrier | undefined {
    return this.#to === 'app' || this.session.reach.state === 'gone' ? undefined : this.session.carrier;
  }

  /** A connection or request went to the laptop. @returns to be called when it is over */
  began(): () => void {
    const { session } = this;
    const counts = this.#counts;
    counts.taken += 1;
    counts.open += 1;
    session.openCount += 1;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      counts.open -= 1;
      session.openCount -= 1;
      session.lastActivityMs = Date.now();
    };
  }

  /** A copy was cut short or never made. */
  dropped(): void {
    this.#counts.dropped += 1;
  }

  status(): InterceptStatus {
    const { appPort, protocol, filter, mirror } = this.intercept;
    const { taken, open, dropped } = this.#counts;
    return {
      appPort,
      protocol,
      sessionId: this.session.identity.sessionId,
      ...(filter === undefined ? {} : { filter }),
      mirror,
      to: this.session.reach.state === 'gone' ? 'app' : this.#to,
      taken,
      open,
      dropped,
    };
  }
}
