import { InterceptorError } from '../../src/errors.ts';
import type { ControlError, Holder, Intercept, SessionIdentity } from '../../src/protocol/control.ts';
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

/** Why the agents refused a claim: who holds what is in the way, whether they use it, and what can be done. */
export function inUse(context: InUseContext, refusal: Pick<ControlError, 'holder' | 'filter'>): InterceptorError {
  const { holder, filter } = refusal;
  const { workload, namespace, identity } = context;
  const own = holder !== undefined && whoIs(holder) === whoIs(identity);
  const who = holder === undefined ? 'another session' : own ? `you (${whoIs(holder)})` : whoIs(holder);
  const what = filter === undefined ? '' : ` (requests with ${shownFilter(filter)})`;
  const since = holder === undefined ? '' : ` since ${new Date(holder.sinceMs).toISOString().replace(/\.\d+Z$/, 'Z')}`;
  const use = holder === undefined ? '' : `, ${describeUse(holder)}`;
  return new InterceptorError('TARGET_IN_USE', `${workload} is intercepted by ${who}${since}${what}${use}`, {
    hint: waysOut(context, refusal, own, `intercept leave ${workload} -n ${namespace}`),
  });
}

function waysOut(
  { intercepts, takeOver }: InUseContext,
  { holder, filter }: Pick<ControlError, 'holder' | 'filter'>,
  own: boolean,
  leave: string,
): string {
  const mayTake = holder !== undefined && !takeOver && isIdle(holder);
  const ways = [
    ...(mayTake ? ['take it over: --take-over'] : []),
    own ? `end it: ${leave}` : `ask them to end it, or end it yourself: ${leave} --everyone`,
  ];
  const hasFilter = intercepts.some((intercept) => intercept.filter !== undefined);
  if (filter !== undefined) ways.push(hasFilter ? APART : 'take your own requests only: --personal');
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
