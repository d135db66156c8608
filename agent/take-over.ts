import type { Filter } from '../src/http/filter.ts';
import type { Intercept } from '../src/protocol/control.ts';
import type { Claim } from './claim.ts';
import { TAKE_OVER_IDLE_MS } from './limits.ts';
import type { Session, SessionCarrier } from './session.ts';

type Wanted = Pick<Intercept, 'appPort' | 'protocol' | 'filter' | 'mirror'>;

/**
 * Whether two intercepts of different sessions cannot stand beside each other: mirrors never are in the way; one that has
 * the whole port is in everybody's; of two filters, those of which it would not be certain whose a request is.
 * @param overlap says that of two filters
 */
export function excludes(one: Wanted, other: Wanted, overlap: (one: Filter, other: Filter) => boolean): boolean {
  if (one.appPort !== other.appPort || one.protocol !== other.protocol) return false;
  if (one.mirror || other.mirror) return false;
  if (one.filter === undefined || other.filter === undefined) return true;
  return overlap(one.filter, other.filter);
}

/** Whether a session may lose what it has to one that asks for it: it is gone, or nobody has used it for a while. */
export function mayLose(session: Session<SessionCarrier>, nowMs = Date.now()): boolean {
  if (session.carrier === undefined) return true;
  if (session.openCount > 0) return false;
  return nowMs - (session.lastActivityMs ?? session.sinceMs) >= TAKE_OVER_IDLE_MS;
}

/** What refuses a claim, in words. Names of fields only: values are nobody else's business in a log. */
export function inTheWay(claim: Claim<SessionCarrier>): string {
  const { appPort, filter } = claim.intercept;
  const { user, host } = claim.session.identity;
  return filter === undefined
    ? `app port ${appPort} is held by ${user} on ${host}`
    : `requests on app port ${appPort} that ${user} on ${host} takes may be among these`;
}
