import { isServing } from './agent-pods.ts';
import type { FollowedPod } from './followed-pod.ts';
import type { PodStatus } from './status.ts';

/**
 * The way to a pod's agent as `status` tells it, times in ms; undefined where there is none yet and none was lost, or none any
 * more to a pod that is being deleted: nobody calls it.
 */
export function podStatus({
  name,
  object,
  tunnel,
  lost,
  reached,
}: Pick<FollowedPod, 'name' | 'object' | 'tunnel' | 'lost' | 'reached'>): PodStatus | undefined {
  if (!isServing(object) && tunnel?.isAttached !== true) return undefined;
  const forMs = lost === undefined ? 0 : Math.round(performance.now() - lost.sinceMs);
  if (tunnel === undefined)
    return lost === undefined || reached === undefined
      ? undefined
      : { pod: name, state: 'disconnected', forMs, reason: lost.reason };
  const { carrier, mux } = tunnel;
  if (lost !== undefined) return { pod: name, carrier, state: 'reconnecting', forMs, reason: lost.reason };
  const { roundTripMs } = mux;
  return { pod: name, carrier, state: 'connected', ...(roundTripMs === undefined ? {} : { roundTripMs }) };
}
