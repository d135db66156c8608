import { conflict } from '../src/http/filters/order.ts';
import type { Claim } from './claim.ts';
import { TAKE_OVER_IDLE_MS } from './limits.ts';
import { RequestFailure } from './request-failure.ts';
import { type Session, type SessionCarrier, toHolder } from './session.ts';

/**
 * Whether two claims on one port cannot stand beside each other: mirrors never are in the way; who has the whole port is in
 * everybody's; of two filters, those of which it would not be certain whose a request is.
 */
export function excludes(one: Claim<SessionCarrier>, other: Claim<SessionCarrier>): boolean {
  if (one.intercept.mirror || other.intercept.mirror) return false;
  if (one.filter === undefined || other.filter === undefined) return true;
  return conflict(one.filter, other.filter);
}

/** Whether a session may lose what it has to one that asks for it: it is gone, or nobody has used it for a while. */
export function mayLose(session: Session<SessionCarrier>, nowMs = Date.now()): boolean {
  if (session.carrier === undefined || session.reach.state === 'gone') return true;
  if (session.openCount > 0) return false;
  return nowMs - (session.lastActivityMs ?? session.sinceMs) >= TAKE_OVER_IDLE_MS;
}

/** A refusal names this many of those in the way: the first, and some others. */
const MAX_NAMED = 5;

/** The refusal of a claim by those that are in its way, each by one of its claims; at least one. */
export function refusalBy([first, ...rest]: readonly Claim<SessionCarrier>[]): RequestFailure {
  if (first === undefined) return new RequestFailure('TARGET_IN_USE', 'the app port is held');
  const others = rest.slice(0, MAX_NAMED - 1).map(({ session, intercept: { filter } }) => ({
    holder: toHolder(session),
    ...(filter === undefined ? {} : { filter }),
  }));
  const more = rest.length - others.length;
  const { session, intercept } = first;
  return new RequestFailure('TARGET_IN_USE', inTheWay(first), toHolder(session), intercept.filter, { others, more });
}

/** What refuses a claim, in words. Names of fields only: values are nobody else's business in a log. */
function inTheWay(claim: Claim<SessionCarrier>): string {
  const { appPort, filter } = claim.intercept;
  const { user, host } = claim.session.identity;
  return filter === undefined
    ? `app port ${appPort} is held by ${user} on ${host}`
    : `requests on app port ${appPort} that ${user} on ${host} takes may be among these`;
}
