import { InterceptorError } from '../../src/errors.ts';
import { type KubeClient, resourcePath } from './client.ts';
import { delay } from './client-deadline.ts';
import { AGENT_CONTAINER } from './names.ts';
import { labelSelectorText, type Pod, type Workload } from './objects.ts';
import { takenOutSelector } from './taken-out.ts';

const POLL_MS = 500;
/** Beyond its own grace period a pod is given this long to be gone: the kubelet reports late under load. */
const KUBELET_SLACK_MS = 60_000;
const DEFAULT_GRACE_SECONDS = 30;

/** Pods in which the app may still run. */
export interface EndingApps {
  readonly pods: readonly string[];
  /** How long an app that is told to end may go on. */
  readonly graceSeconds: number;
}

/** `the app's pods to end: web-1, web-2 (grace period 30 s)`, for people. Pure. */
export function endingAppsText({ pods, graceSeconds }: EndingApps): string {
  return `the app's pods to end: ${pods.join(', ')} (grace period ${graceSeconds} s)`;
}

/**
 * Resolves once no app of the workload runs any more, those included that have been told to end and finish their work: whose place
 * a process takes must not do what it does at the same time (mode replace; call it when the rollout is complete).
 * @param onWait whenever it is known anew who is waited for, at once when there is anybody
 * @throws InterceptorError ROLLOUT_FAILED when one does not end, CLUSTER_*; the signal's reason
 */
export async function untilAppsEnded(
  client: KubeClient,
  workload: Workload,
  { signal, onWait }: { readonly signal: AbortSignal; readonly onWait?: (apps: EndingApps) => void },
): Promise<void> {
  const { metadata, spec } = workload;
  const path = resourcePath({ apiVersion: 'v1', resource: 'pods', namespace: metadata.namespace ?? '' });
  const labelSelector = labelSelectorText(spec.selector);
  const { terminationGracePeriodSeconds = DEFAULT_GRACE_SECONDS } = spec.template.spec;
  const graceSeconds = Number(terminationGracePeriodSeconds);
  const deadline = Date.now() + graceSeconds * 1000 + KUBELET_SLACK_MS;
  let told = '';
  for (;;) {
    const lists = await Promise.all(
      [labelSelector, takenOutSelector(workload)].map((selector) =>
        client.list<Pod>(path, { labelSelector: selector, signal }),
      ),
    );
    const names = lists
      .flatMap(({ items }) => items)
      .filter(runsApp)
      .map((pod) => pod.metadata.name);
    if (names.length === 0) return;
    if (names.join() !== told) onWait?.({ pods: names, graceSeconds });
    told = names.join();
    if (Date.now() > deadline)
      throw new InterceptorError('ROLLOUT_FAILED', `${names.join(', ')} with the app does not end`, {
        hint: `kubectl describe pod ${names[0]} -n ${metadata.namespace ?? ''}`,
      });
    await delay(POLL_MS, signal);
  }
}

/** A pod of a template without the agent, of which anything may still run. Pure. */
export function runsApp({ spec, status }: Pod): boolean {
  if (spec.containers.some(({ name }) => name === AGENT_CONTAINER)) return false;
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  const states = status?.containerStatuses ?? [];
  return states.length === 0 || states.some(({ state }) => state?.terminated === undefined);
}
