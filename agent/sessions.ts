import type { Log } from '../src/log.ts';
import type { AppPort, Holder, InterceptStatus, RouteTo, SessionIdentity } from '../src/protocol/control.ts';
import { Claims, type ClaimWish } from './claims.ts';
import { CLAIM_GRACE_MS, EVICT_CLOSE_MS } from './limits.ts';
import { RequestFailure } from './request-failure.ts';
import { newSession, type Session, type SessionCarrier, toHolder, userAtHost, who } from './session.ts';

export interface SessionsOptions {
  readonly ports: readonly AppPort[];
  readonly log: Log;
  readonly graceMs?: number;
  readonly evictCloseMs?: number;
  /** The first claim, and every later one. */
  readonly onClaim?: () => void;
}

/** Who is connected, who uses the agent, and how that ends. What they hold is in `claims`. */
export class Sessions<Carrier extends SessionCarrier> {
  readonly claims: Claims<Carrier>;
  readonly #sessions = new Map<string, Session<Carrier>>();
  readonly #timers = new Map<Session<Carrier>, NodeJS.Timeout>();
  readonly #options: SessionsOptions;
  readonly #log: Log;
  #idleSinceMs = Date.now();

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#log = options.log;
    this.claims = new Claims(options.ports, options.log);
  }

  /** Sessions with a tunnel, those that are away for a moment among them. */
  get connectedCount(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.carrier !== undefined) count += 1;
    return count;
  }

  /** Timers under way: graces, evictions, and callers that wait for a laptop to be back. */
  get timers(): number {
    let count = this.#timers.size;
    for (const { reach } of this.#sessions.values()) count += reach.timers;
    return count;
  }

  /**
   * A peer proved itself and has a new tunnel. One that was here before (same id) takes its old place: its claims stay, its
   * routes begin at the app again, its old tunnel is closed.
   */
  connect(identity: SessionIdentity, carrier: Carrier): Session<Carrier> {
    const known = this.#sessions.get(identity.sessionId);
    if (known === undefined) {
      const session = newSession(identity, carrier, () => this.claims.onChange());
      this.#sessions.set(identity.sessionId, session);
      return session;
    }
    this.#clearTimer(known);
    const old = known.carrier;
    known.carrier = carrier;
    known.lastSeenMs = Date.now();
    this.claims.routeToApp(known);
    known.reach.attached();
    void old?.close();
    return known;
  }

  /** The tunnel has lost its way to the laptop, for now: it keeps what it has, and callers wait a moment, then have the app. */
  detached(session: Session<Carrier>, carrier: Carrier): void {
    if (session.carrier !== carrier) return;
    session.lastSeenMs = Date.now();
    session.reach.detached();
  }

  /** The same tunnel leads to the laptop again, and all goes on as before. */
  attached(session: Session<Carrier>, carrier: Carrier): void {
    if (session.carrier !== carrier) return;
    session.lastSeenMs = Date.now();
    session.reach.attached();
  }

  /** The tunnel is over. Nothing happens when the session has another one by now. */
  lost(session: Session<Carrier>, carrier: Carrier): void {
    if (session.carrier !== carrier) return;
    const nowMs = Date.now();
    const wasAway = session.reach.state !== 'reachable';
    session.carrier = undefined;
    if (!wasAway) session.lastSeenMs = nowMs;
    session.reach.lost();
    this.#clearTimer(session);
    if (!this.#isKnown(session)) return;
    if (!session.joined) {
      session.reach.close();
      this.#sessions.delete(session.identity.sessionId);
      return;
    }
    this.#idleSinceMs = session.lastSeenMs;
    this.claims.routeToApp(session);
    this.#log.info('session lost, its claims are kept for a while', who(session));
    const graceMs = (this.#options.graceMs ?? CLAIM_GRACE_MS) - (nowMs - session.lastSeenMs);
    this.#setTimer(session, Math.max(0, graceMs), () => this.#forget(session, 'grace over'));
  }

  /**
   * Takes all intercepts or none, in place of those it has; with none at all the session only needs the agent to stay (`run`).
   * The sessions in `replaces` are ended and no longer in the way, with `takeOver` those that nobody uses as well. What is to
   * go to the laptop goes there from the claim on, so that a pod that comes later is never ready with another route.
   * @throws RequestFailure TARGET_IN_USE with the holder; TARGET_NOT_FOUND; SESSION_NOT_FOUND when the caller was ended
   */
  claim(session: Session<Carrier>, wish: ClaimWish): void {
    this.#mustBeKnown(session);
    const replaced = wish.replaces.flatMap((id) => this.#sessions.get(id) ?? []).filter((old) => old !== session);
    const takenOver = this.claims.check(session, wish, replaced);
    const by = userAtHost(session);
    for (const old of replaced) this.#end(old, by);
    for (const old of takenOver) this.#end(old, by, true);
    session.joined = true;
    this.claims.take(session, wish);
    this.#options.onClaim?.();
  }

  /** @throws RequestFailure NOT_CLAIMED when the caller has nothing of the port */
  route(session: Session<Carrier>, port: AppPort, to: RouteTo): void {
    this.claims.route(session, port, to);
  }

  /** Gives all that a session has back; it stays connected. */
  release(session: Session<Carrier>): void {
    if (!session.joined) return;
    session.joined = false;
    this.claims.drop(session);
    if (session.carrier !== undefined) this.#idleSinceMs = Date.now();
    this.#log.info('session released', who(session));
  }

  /**
   * Ends sessions, never the caller's own.
   * @param sessionIds which; undefined: all
   * @returns who they were
   */
  evict(caller: Session<Carrier>, by: string, sessionIds?: readonly string[]): Holder[] {
    const evicted: Holder[] = [];
    for (const session of [...this.#sessions.values()]) {
      if (session === caller || sessionIds?.includes(session.identity.sessionId) === false) continue;
      evicted.push(toHolder(session));
      this.#end(session, by);
    }
    return evicted;
  }

  /** Sessions and what they hold; one that has claimed nothing is a visitor (`list`, `leave`, one that was refused) and not among them. */
  status(): { sessions: Holder[]; intercepts: InterceptStatus[]; idleMs: number } {
    const sessions = [...this.#sessions.values()].filter((session) => session.joined);
    const active = sessions.some((session) => session.carrier !== undefined);
    return {
      sessions: sessions.map(toHolder),
      intercepts: this.claims.status(),
      idleMs: active ? 0 : Math.max(0, Date.now() - this.#idleSinceMs),
    };
  }

  /** The tunnels of all sessions. */
  carriers(): Carrier[] {
    return [...this.#sessions.values()].flatMap((session) => session.carrier ?? []);
  }

  /** Stops all timers; carriers are their makers' to close. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    for (const { reach } of this.#sessions.values()) reach.close();
  }

  /** Forgets a session that is to go: its routes are the app's at once, it is told, and cut if it stays. */
  #end(session: Session<Carrier>, by: string, takeOver = false): void {
    const { carrier } = session;
    this.#clearTimer(session);
    this.#forget(session, takeOver ? `taken over by ${by}` : `ended by ${by}`);
    if (carrier === undefined) return;
    carrier.sendControl({ type: 'event', event: 'evicted', by, ...(takeOver ? { takeOver } : {}) });
    this.#setTimer(session, this.#options.evictCloseMs ?? EVICT_CLOSE_MS, () => void carrier.close());
  }

  #forget(session: Session<Carrier>, reason: string): void {
    if (!this.#isKnown(session)) return;
    this.release(session);
    session.reach.close();
    this.#sessions.delete(session.identity.sessionId);
    this.#log.info('session ended', { ...who(session), reason });
  }

  #isKnown(session: Session<Carrier>): boolean {
    return this.#sessions.get(session.identity.sessionId) === session;
  }

  #mustBeKnown(session: Session<Carrier>): void {
    if (!this.#isKnown(session)) throw new RequestFailure('SESSION_NOT_FOUND', 'this session was ended');
  }

  #setTimer(session: Session<Carrier>, delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(session);
      action();
    }, delayMs);
    this.#timers.set(session, timer);
  }

  #clearTimer(session: Session<Carrier>): void {
    clearTimeout(this.#timers.get(session));
    this.#timers.delete(session);
  }
}
