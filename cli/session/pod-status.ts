import type { FollowedPod } from './followed-pod.ts';
import type { PodStatus } from './status.ts';

/** The way to a pod's agent as `status` tells it, times in ms; undefined where there is none yet and none was lost. */
export function podStatus({
  name,
  tunnel,
  lost,
  reached,
}: Pick<FollowedPod, 'name' | 'tunnel' | 'lost' | 'reached'>): PodStatus | undefined {
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
