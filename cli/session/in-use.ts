import { InterceptorError } from '../../src/errors.ts';
import type { ControlError, Holder, InTheWay, Intercept, SessionIdentity } from '../../src/protocol/control.ts';
import { shownFilter } from '../commands/filter-text.ts';
import { formatAge } from '../ui/table.ts';
import { whoIs } from './identity.ts';

/** A holder without a request or connection for this long is idle: --take-over ends its session (the agents' own limit). */
export const TAKE_OVER_IDLE_MS = 60_000;

export interface InUseContext {
  readonly workload: string;
  readonly namespace: string;
  readonly identity: SessionIdentity;
  readonly intercepts: readonly Pick<Intercept, 'filter'>[];
  readonly takeOver: boolean;
}

type Refusal = Pick<ControlError, 'holder' | 'filter' | 'others' | 'more'>;

/** Why the agents refused a claim: who holds what is in the way, whether they use it, and what can be done. */
export function inUse(context: InUseContext, refusal: Refusal): InterceptorError {
  const { holder, filter, others = [], more = 0 } = refusal;
  const { workload, namespace, identity } = context;
  const first: InTheWay[] = holder === undefined ? [] : [{ holder, ...(filter === undefined ? {} : { filter }) }];
  const all = [...first, ...others];
  const named = all.map((one) => describeHolder(one, identity));
  if (named.length === 0) named.push('another session');
  if (more > 0) named.push(`and ${more} more`);
  return new InterceptorError('TARGET_IN_USE', `${workload} is intercepted by ${named.join('; ')}`, {
    hint: waysOut(context, all, more, `intercept leave ${workload} -n ${namespace}`),
  });
}

/** `bob@box since 2026-01-01T00:00:00Z (requests with --personal bob), last used 12s ago`. */
function describeHolder({ holder, filter }: InTheWay, identity: SessionIdentity): string {
  const who = whoIs(holder) === whoIs(identity) ? `you (${whoIs(holder)})` : whoIs(holder);
  const what = filter === undefined ? '' : ` (requests with ${shownFilter(filter)})`;
  const since = new Date(holder.sinceMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return `${who} since ${since}${what}, ${describeUse(holder)}`;
}

function waysOut(
  { intercepts, takeOver, identity }: InUseContext,
  all: readonly InTheWay[],
  more: number,
  leave: string,
): string {
  const known = all.length > 0 && more === 0;
  const mayTake = known && !takeOver && all.every(({ holder }) => isIdle(holder));
  const own = known && all.every(({ holder }) => whoIs(holder) === whoIs(identity));
  const several = all.length + more > 1;
  const [it, theirs] = several ? ['them', 'theirs'] : ['it', 'it'];
  const ways = [
    ...(mayTake ? [`take ${it} over: --take-over`] : []),
    own ? `end ${it}: ${leave}` : `ask them to end ${theirs}, or end ${it} yourself: ${leave} --everyone`,
  ];
  const hasFilter = intercepts.some((intercept) => intercept.filter !== undefined);
  if (all.length > 0 && all.every(({ filter }) => filter !== undefined))
    ways.push(hasFilter ? APART : 'take your own requests only: --personal');
  return ways.join('; ');
}

const APART = 'or take requests that cannot be theirs: the same header or key with another value';

/** `last used 3m ago`. Ages by the agent's clock, as far as it tells. */
function describeUse({ connected, lastSeenMs, lastActivityMs }: Holder): string {
  if (!connected) return `whose laptop has been gone for ${formatAge(Date.now() - lastSeenMs)}`;
  if (lastActivityMs === undefined) return 'unused so far';
  const idleMs = lastSeenMs - lastActivityMs;
  return idleMs < 1_000 ? 'in use now' : `last used ${formatAge(idleMs)} ago`;
}

/** Whether --take-over would end the holder's session. */
export function isIdle(holder: Holder): boolean {
  return !holder.connected || holder.lastSeenMs - (holder.lastActivityMs ?? holder.sinceMs) >= TAKE_OVER_IDLE_MS;
}
