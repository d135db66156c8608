import { InterceptorError } from '../../src/errors.ts';
import { isReady } from './agent-pods.ts';
import type { FollowedPod } from './followed-pod.ts';

type Covered = Pick<FollowedPod, 'name' | 'object' | 'tunnel' | 'lost'>;

/** What stands in the way of covering every ready pod, for people; undefined when all are covered. */
export function uncovered(pods: readonly Covered[]): string | undefined {
  for (const { name, object, tunnel, lost } of pods) {
    if (tunnel?.isAttached !== true && isReady(object))
      return `the tunnel to pod/${name}${lost === undefined ? '' : ` (${lost.reason})`}`;
  }
  return pods.every(({ tunnel }) => tunnel === undefined) ? 'a pod with the agent' : undefined;
}

/**
 * What uncovered() still names after a wait of `afterMs`, as an error, for a caller that waits no longer.
 * @returns TARGET_NOT_READY where no pod is ready, else TUNNEL_REFUSED
 */
export function outOfReach(pods: readonly Covered[], namespace: string, afterMs: number): InterceptorError {
  const what = uncovered(pods) ?? 'nothing';
  const text = `the agents cannot be reached after ${afterMs / 1000} s, waiting for ${what}`;
  if (!pods.some(({ object }) => isReady(object)))
    return new InterceptorError('TARGET_NOT_READY', text, { hint: `kubectl get pods -n ${namespace}` });
  return new InterceptorError('TUNNEL_REFUSED', text, {
    hint: 'the API server or the kubelet must reach the pods: a firewall may be in the way; --tunnel chooses the carrier',
  });
}
