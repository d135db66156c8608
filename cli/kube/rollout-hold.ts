import type { InterceptorError } from '../../src/errors.ts';
import { problemText } from './reasons.ts';
import type { RolloutView } from './rollout-judge.ts';

/** A node may be found, or a quota raised, for an ordinary rollout as well: all pods at once are not waited for as long. */
export const HOLD_ROOM_MS = 5_000;

/** There is no room for all new pods beside all old ones. */
export class HoldRefused extends Error {
  /** In the cluster's own words. */
  readonly reason: string;

  constructor(reason: string) {
    super(`no room for all pods at once: ${reason}`);
    this.name = 'HoldRefused';
    this.reason = reason;
  }
}

/**
 * Whether a hold is to be given up: with one replica an ordinary rollout would need the same room. Pure.
 * @param noRoom no node has had room for a pod for HOLD_ROOM_MS
 */
export function holdRefusal(view: RolloutView, noRoom: InterceptorError | undefined): HoldRefused | undefined {
  if (view.wanted <= 1) return undefined;
  const { failure } = view;
  if (failure?.problem.reason === 'FailedCreate' && failure.pod === undefined)
    return new HoldRefused(problemText(failure.problem));
  return noRoom === undefined ? undefined : new HoldRefused(view.waitingFor ?? noRoom.message);
}
