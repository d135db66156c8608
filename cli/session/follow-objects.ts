import { errorText } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { isForbidden, type KubeClient, resourcePath } from '../kube/client.ts';
import {
  labelSelectorText,
  type Pod,
  type Service,
  type Workload,
  type WorkloadRef,
  wantedPods,
  workloadsPath,
  workloadText,
} from '../kube/objects.ts';
import { type WatchState, watch } from '../kube/watch.ts';

export interface Followed {
  readonly ref: WorkloadRef;
  readonly workload: Workload;
  /** The Services whose callers are meant, by name. */
  readonly services: readonly string[];
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface FollowHandlers {
  readonly onPod: (type: 'ADDED' | 'MODIFIED' | 'DELETED', pod: Pod) => void;
  readonly onWanted: (replicas: number) => void;
  /** The workload as somebody has made it, after each change; the next one waits for the answer. */
  readonly onWorkload: (before: Workload, after: Workload) => Promise<void>;
  readonly onWorkloadDeleted: () => Promise<void>;
  readonly onService: (service: Service) => Promise<void>;
  readonly onServiceDeleted: (name: string) => Promise<void>;
}

/** Follows a workload, its pods and its Services until the signal; ends without error. */
export async function followObjects(client: KubeClient, followed: Followed, handlers: FollowHandlers): Promise<void> {
  await Promise.all([
    followPods(client, followed, handlers),
    followWorkload(client, followed, handlers),
    ...followed.services.map((name) => followService(client, followed, name, handlers)),
  ]);
}

async function followPods(client: KubeClient, followed: Followed, handlers: FollowHandlers): Promise<void> {
  const { ref, workload, signal, log } = followed;
  const path = resourcePath({ apiVersion: 'v1', resource: 'pods', namespace: ref.namespace });
  const labelSelector = labelSelectorText(workload.spec.selector);
  for await (const event of watch<Pod>(client, path, { signal, labelSelector, onState: logState(log, 'pods') })) {
    if (event.type !== 'SYNC') handlers.onPod(event.type, event.object);
  }
}

async function followWorkload(client: KubeClient, followed: Followed, handlers: FollowHandlers): Promise<void> {
  const { ref, signal, log } = followed;
  const path = workloadsPath(ref.kind, ref.namespace);
  const fieldSelector = `metadata.name=${ref.name}`;
  const name = workloadText(ref);
  let before = followed.workload;
  for await (const event of watch<Workload>(client, path, { signal, fieldSelector, onState: logState(log, name) })) {
    if (event.type === 'SYNC') continue;
    if (event.type === 'DELETED') {
      await handlers.onWorkloadDeleted();
      continue;
    }
    handlers.onWanted(wantedPods(ref.kind, event.object));
    await handlers.onWorkload(before, event.object);
    before = event.object;
  }
}

async function followService(
  client: KubeClient,
  { ref, signal, log }: Followed,
  service: string,
  handlers: FollowHandlers,
): Promise<void> {
  const path = resourcePath({ apiVersion: 'v1', resource: 'services', namespace: ref.namespace });
  const fieldSelector = `metadata.name=${service}`;
  const onState = logState(log, `service/${service}`);
  try {
    for await (const event of watch<Service>(client, path, { signal, fieldSelector, onState })) {
      if (event.type === 'SYNC') continue;
      if (event.type === 'DELETED') await handlers.onServiceDeleted(service);
      else await handlers.onService(event.object);
    }
  } catch (failure) {
    // who may not watch Services does without: a change of them is not noticed then
    if (!isForbidden(failure)) throw failure;
    log.debug('services cannot be watched', { service, reason: errorText(failure) });
  }
}

function logState(log: Log, what: string): (state: WatchState) => void {
  return (state) => {
    if (state.state === 'connected') log.debug('watch connected', { what });
    else log.debug('watch lost', { what, reason: errorText(state.error), delayMs: Math.round(state.delayMs) });
  };
}
