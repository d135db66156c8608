import { isDeepStrictEqual } from 'node:util';
import type { Log } from '../src/log.ts';
import type { AppPort, Intercept, InterceptStatus, RouteTo } from '../src/protocol/control.ts';
import { Claim } from './claim.ts';
import { PortTable } from './port-table.ts';
import { RequestFailure } from './request-failure.ts';
import { type Session, type SessionCarrier, who } from './session.ts';
import { excludes, mayLose, refusalBy } from './take-over.ts';

/** What a session asks to have. */
export interface ClaimWish {
  readonly intercepts: readonly Intercept[];
  readonly replaces: readonly string[];
  readonly takeOver: boolean;
  /** Whom `takeOver` does not end. */
  readonly spares?: readonly string[];
  readonly holdMs: number;
}

/** Who holds what of which port. */
export class Claims<Carrier extends SessionCarrier> {
  /** By port; a port that nobody holds has no list. */
  readonly #claims = new Map<string, Claim<Carrier>[]>();
  readonly #tables = new Map<string, PortTable<Carrier>>();
  readonly #nobody = new PortTable<Carrier>([]);
  readonly #ports: readonly AppPort[];
  readonly #log: Log;
  #lastOrder = 0;
  /** The port has its first filter. */
  onHttp: (port: AppPort) => void = () => {};
  /** Somebody else may answer something. */
  onChange: () => void = () => {};

  constructor(ports: readonly AppPort[], log: Log) {
    this.#ports = ports;
    this.#log = log;
  }

  /**
   * Whether a session may have what it wants.
   * @param replaced sessions that are not in the way
   * @returns the sessions that lose what they have by it (`takeOver`)
   * @throws RequestFailure TARGET_IN_USE with all who are in the way; TARGET_NOT_FOUND
   */
  check(session: Session<Carrier>, wish: ClaimWish, replaced: readonly Session<Carrier>[]): Session<Carrier>[] {
    const losers = new Set<Session<Carrier>>();
    const refusing = new Map<Session<Carrier>, Claim<Carrier>>();
    for (const intercept of wish.intercepts) {
      const { appPort, protocol } = intercept;
      const wanted = new Claim(session, intercept, 0, 0);
      if (!this.#ports.some((port) => port.appPort === appPort && port.protocol === protocol))
        throw new RequestFailure('TARGET_NOT_FOUND', `the agent has no route for app port ${appPort}/${protocol}`);
      for (const claim of this.#claims.get(keyOf(intercept)) ?? []) {
        const holder = claim.session;
        if (holder === session || replaced.includes(holder) || !excludes(wanted, claim)) continue;
        const isSpared = wish.spares?.includes(holder.identity.sessionId) === true;
        if (wish.takeOver && !isSpared && mayLose(holder)) losers.add(holder);
        else if (!refusing.has(holder)) refusing.set(holder, claim);
      }
    }
    if (refusing.size > 0) throw refusalBy([...refusing.values()]);
    return [...losers];
  }

  /** Gives a session what it wants in place of what it has; check() allowed it. */
  take(session: Session<Carrier>, { intercepts, holdMs }: ClaimWish): void {
    const before = this.#of(session);
    this.#remove(session);
    for (const { to, ...intercept } of intercepts) {
      const same = before.find((claim) => isSame(claim.intercept, intercept));
      const claim = new Claim(session, intercept, ++this.#lastOrder, holdMs, same);
      const key = keyOf(intercept);
      this.#claims.set(key, [...(this.#claims.get(key) ?? []), claim]);
      this.#log.info('session claimed', { ...who(session), ...inLog(claim) });
      this.#route(claim, to);
    }
    if (intercepts.length === 0) this.#log.info('session claimed', who(session));
    this.#changed();
  }

  /** @throws RequestFailure NOT_CLAIMED when the session has nothing of the port */
  route(session: Session<Carrier>, port: AppPort, to: RouteTo): void {
    const own = (this.#claims.get(keyOf(port)) ?? []).filter((claim) => claim.session === session);
    if (own.length === 0)
      throw new RequestFailure('NOT_CLAIMED', `app port ${port.appPort} is not claimed by this session`);
    for (const claim of own) this.#route(claim, to);
  }

  routeToApp(session: Session<Carrier>): void {
    for (const claim of this.#of(session)) this.#route(claim, 'app');
  }

  /** Everything of this session is gone. */
  drop(session: Session<Carrier>): void {
    this.routeToApp(session);
    this.#remove(session);
    this.#changed();
  }

  /** Who has the port now. */
  table(port: AppPort): PortTable<Carrier> {
    return this.#tables.get(keyOf(port)) ?? this.#nobody;
  }

  /** Ports of which a laptop answers something now. */
  laptopPorts(): number[] {
    const answering = [...this.#claims.values()]
      .flat()
      .filter(({ carrier, intercept }) => carrier && !intercept.mirror);
    return [...new Set(answering.map(({ intercept }) => intercept.appPort))];
  }

  status(): InterceptStatus[] {
    return [...this.#claims.values()].flat().map((claim) => claim.status());
  }

  #route(claim: Claim<Carrier>, to: RouteTo): void {
    const from = claim.to;
    if (from === to) return;
    claim.to = to;
    this.onChange();
    const fields = { ...who(claim.session), ...inLog(claim) };
    if (from === 'app') this.#log.info('intercept began', fields);
    else if (to === 'app') this.#log.info('intercept ended', fields);
    else this.#log.debug(to === 'held' ? 'intercept is held' : 'intercept goes on', fields);
  }

  #of(session: Session<Carrier>): Claim<Carrier>[] {
    return [...this.#claims.values()].flat().filter((claim) => claim.session === session);
  }

  #remove(session: Session<Carrier>): void {
    for (const [key, claims] of this.#claims) {
      const others = claims.filter((claim) => claim.session !== session);
      if (others.length === claims.length) continue;
      if (others.length === 0) this.#claims.delete(key);
      else this.#claims.set(key, others);
    }
  }

  #changed(): void {
    for (const port of this.#ports) {
      const key = keyOf(port);
      const before = this.table(port);
      const claims = this.#claims.get(key) ?? [];
      const table = new PortTable(claims);
      this.#tables.set(key, table);
      if (table.isHttp && !before.isHttp) this.onHttp(port);
    }
    this.onChange();
  }
}

function keyOf({ appPort, protocol }: AppPort): string {
  return `${protocol} ${appPort}`;
}

/** Whether two claims of one session are one that was made again. */
function isSame(one: Omit<Intercept, 'to'>, other: Omit<Intercept, 'to'>): boolean {
  return keyOf(one) === keyOf(other) && one.mirror === other.mirror && isDeepStrictEqual(one.filter, other.filter);
}

/** What of a port, in a log line: the names of what a filter looks at, never values. */
function inLog(claim: Claim<SessionCarrier>): { appPort: number; protocol: string; mirror: boolean; filter: string[] } {
  const { appPort, protocol, mirror, filter } = claim.intercept;
  const names = (filter?.conditions ?? []).map((condition) => {
    if (condition.on === 'header' || condition.on === 'query') return `${condition.on} ${condition.name}`;
    return condition.on;
  });
  return { appPort, protocol, mirror, filter: names };
}
