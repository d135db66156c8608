import type { Log } from '../src/log.ts';
import type { ControlMessage, Holder, SessionIdentity } from '../src/protocol/control.ts';
import { CLAIM_GRACE_MS, EVICT_CLOSE_MS } from './limits.ts';
import { RequestFailure } from './request-failure.ts';

/** What the sessions need of a tunnel; a Mux is one. */
export interface SessionCarrier {
  sendControl(message: ControlMessage): void;
  close(): Promise<void>;
}

/** One laptop session as the agent knows it: connected, or gone and within the grace of its claims. */
export interface Session<Carrier extends SessionCarrier> {
  readonly identity: SessionIdentity;
  readonly sinceMs: number;
  lastSeenMs: number;
  carrier: Carrier | undefined;
  /** It has claimed: ports, or with none of them the agent's presence (`run`), and is no mere visitor. */
  joined: boolean;
}

interface Claim<Carrier extends SessionCarrier> {
  readonly session: Session<Carrier>;
  to: 'laptop' | 'app';
}

export interface SessionsOptions {
  readonly appPorts: readonly number[];
  readonly log: Log;
  readonly graceMs?: number;
  readonly evictCloseMs?: number;
  /** The first claim, and every later one. */
  readonly onClaim?: () => void;
}

/** Who is connected and who holds which app port. A port has one holder at most; a session holds any number. */
export class Sessions<Carrier extends SessionCarrier> {
  readonly #sessions = new Map<string, Session<Carrier>>();
  readonly #claims = new Map<number, Claim<Carrier>>();
  readonly #timers = new Map<Session<Carrier>, NodeJS.Timeout>();
  readonly #options: SessionsOptions;
  readonly #log: Log;
  #idleSinceMs = Date.now();

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** Sessions with a carrier. */
  get connectedCount(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.carrier !== undefined) count += 1;
    return count;
  }

  /** Timers under way: graces and evictions. */
  get timers(): number {
    return this.#timers.size;
  }

  /**
   * A peer proved itself. One that was here before (same id) takes its old place: its claims stay, its routes begin at the
   * app again, its old carrier is closed.
   */
  connect(identity: SessionIdentity, carrier: Carrier): Session<Carrier> {
    const now = Date.now();
    const known = this.#sessions.get(identity.sessionId);
    if (known === undefined) {
      const session: Session<Carrier> = { identity, sinceMs: now, lastSeenMs: now, carrier, joined: false };
      this.#sessions.set(identity.sessionId, session);
      return session;
    }
    this.#clearTimer(known);
    const old = known.carrier;
    known.carrier = carrier;
    known.lastSeenMs = now;
    this.#routeToApp(known);
    void old?.close();
    return known;
  }

  /** The carrier is gone. Nothing happens when the session has another one by now. */
  lost(session: Session<Carrier>, carrier: Carrier): void {
    if (session.carrier !== carrier) return;
    session.carrier = undefined;
    session.lastSeenMs = Date.now();
    this.#clearTimer(session);
    if (!this.#isKnown(session)) return;
    const appPorts = this.#portsOf(session);
    if (!session.joined) {
      this.#sessions.delete(session.identity.sessionId);
      return;
    }
    this.#idleSinceMs = session.lastSeenMs;
    this.#routeToApp(session);
    this.#log.info('session lost, its claims are kept for a while', {
      ...who(session),
      appPorts: appPorts.map(String),
    });
    this.#setTimer(session, this.#options.graceMs ?? CLAIM_GRACE_MS, () => this.#forget(session, 'grace over'));
  }

  /**
   * Takes all of `appPorts` or none; with no ports at all the session only needs the agent to stay (`run`). The sessions in
   * `replaces` are ended and no longer in the way; the ports in `laptop` are the laptop's from the claim on, so that a pod
   * that comes later is never ready with another route.
   * @throws RequestFailure TARGET_IN_USE with the holder; TARGET_NOT_FOUND; SESSION_NOT_FOUND when the caller was ended
   */
  claim(
    session: Session<Carrier>,
    appPorts: readonly number[],
    replaces: readonly string[],
    laptop: readonly number[] = [],
  ): void {
    this.#mustBeKnown(session);
    const replaced = replaces.filter((id) => id !== session.identity.sessionId);
    for (const appPort of appPorts) {
      if (!this.#options.appPorts.includes(appPort))
        throw new RequestFailure('TARGET_NOT_FOUND', `the agent has no route for app port ${appPort}`);
      const holder = this.#claims.get(appPort)?.session;
      if (holder === undefined || holder === session || replaced.includes(holder.identity.sessionId)) continue;
      const { user, host } = holder.identity;
      throw new RequestFailure('TARGET_IN_USE', `app port ${appPort} is held by ${user} on ${host}`, toHolder(holder));
    }
    for (const id of replaced) {
      const old = this.#sessions.get(id);
      if (old !== undefined) this.#end(old, `${session.identity.user}@${session.identity.host}`);
    }
    session.joined = true;
    for (const appPort of appPorts)
      if (this.#claims.get(appPort)?.session !== session) this.#claims.set(appPort, { session, to: 'app' });
    this.#log.info('session claimed', { ...who(session), appPorts: appPorts.map(String) });
    for (const appPort of laptop) this.route(session, appPort, 'laptop');
    this.#options.onClaim?.();
  }

  /** @throws RequestFailure NOT_CLAIMED when the caller does not hold the port */
  route(session: Session<Carrier>, appPort: number, to: 'laptop' | 'app'): void {
    const claim = this.#claims.get(appPort);
    if (claim?.session !== session)
      throw new RequestFailure('NOT_CLAIMED', `app port ${appPort} is not claimed by this session`);
    if (claim.to === to) return;
    claim.to = to;
    this.#log.info(to === 'laptop' ? 'intercept began' : 'intercept ended', { ...who(session), appPort });
  }

  /** Gives all ports of a session back; it stays connected. */
  release(session: Session<Carrier>): void {
    const appPorts = this.#portsOf(session);
    if (!session.joined) return;
    session.joined = false;
    this.#routeToApp(session);
    for (const appPort of appPorts) this.#claims.delete(appPort);
    if (session.carrier !== undefined) this.#idleSinceMs = Date.now();
    this.#log.info('session released', { ...who(session), appPorts: appPorts.map(String) });
  }

  /** Ends all sessions but the caller's own. @returns who they were */
  evict(caller: Session<Carrier>, by: string): Holder[] {
    const evicted: Holder[] = [];
    for (const session of [...this.#sessions.values()]) {
      if (session === caller) continue;
      evicted.push(toHolder(session));
      this.#end(session, by);
    }
    return evicted;
  }

  /** The carrier that answers `appPort` now; undefined: the app does. */
  laptopFor(appPort: number): Carrier | undefined {
    const claim = this.#claims.get(appPort);
    return claim?.to === 'laptop' ? claim.session.carrier : undefined;
  }

  /** Sessions and routes; one that has claimed nothing is a visitor (`list`, `leave`, one that was refused) and not among them. */
  status(): {
    sessions: Holder[];
    routes: { appPort: number; to: 'laptop' | 'app'; sessionId?: string }[];
    idleMs: number;
  } {
    const sessions = [...this.#sessions.values()].filter((session) => session.joined);
    const routes = this.#options.appPorts.map((appPort) => {
      const claim = this.#claims.get(appPort);
      const to = this.laptopFor(appPort) === undefined ? ('app' as const) : ('laptop' as const);
      return claim === undefined ? { appPort, to } : { appPort, to, sessionId: claim.session.identity.sessionId };
    });
    const active = sessions.some((session) => session.carrier !== undefined);
    return {
      sessions: sessions.map(toHolder),
      routes,
      idleMs: active ? 0 : Math.max(0, Date.now() - this.#idleSinceMs),
    };
  }

  /** Every carrier that is up. */
  carriers(): Carrier[] {
    return [...this.#sessions.values()].flatMap((session) => session.carrier ?? []);
  }

  /** Stops all timers; carriers are their makers' to close. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Forgets a session that is to go: its routes are the app's at once, it is told, and cut if it stays. */
  #end(session: Session<Carrier>, by: string): void {
    const { carrier } = session;
    this.#clearTimer(session);
    this.#forget(session, `ended by ${by}`);
    if (carrier === undefined) return;
    carrier.sendControl({ type: 'event', event: 'evicted', by });
    this.#setTimer(session, this.#options.evictCloseMs ?? EVICT_CLOSE_MS, () => void carrier.close());
  }

  #forget(session: Session<Carrier>, reason: string): void {
    if (!this.#isKnown(session)) return;
    this.release(session);
    this.#sessions.delete(session.identity.sessionId);
    this.#log.info('session ended', { ...who(session), reason });
  }

  #routeToApp(session: Session<Carrier>): void {
    for (const appPort of this.#portsOf(session)) this.route(session, appPort, 'app');
  }

  #portsOf(session: Session<Carrier>): number[] {
    return [...this.#claims].flatMap(([appPort, claim]) => (claim.session === session ? appPort : []));
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

/** A session in the form of the control protocol. A connected one was last seen now. */
function toHolder(session: Session<SessionCarrier>): Holder {
  const connected = session.carrier !== undefined;
  const lastSeenMs = connected ? Date.now() : session.lastSeenMs;
  return { ...session.identity, sinceMs: session.sinceMs, lastSeenMs, connected };
}

function who(session: Session<SessionCarrier>): { session: string; user: string; host: string } {
  const { sessionId, user, host } = session.identity;
  return { session: sessionId, user, host };
}
