import { errorText } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { readInstall } from '../kube/annotation.ts';
import { type KubeClient, resourcePath } from '../kube/client.ts';
import {
  labelSelectorText,
  type Pod,
  type Workload,
  type WorkloadRef,
  wantedPods,
  workloadsPath,
  workloadText,
} from '../kube/objects.ts';
import type { InstallRecord } from '../kube/record.ts';
import { type WatchState, watch } from '../kube/watch.ts';

export interface Followed {
  readonly ref: WorkloadRef;
  readonly workload: Workload;
  readonly record: InstallRecord;
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface FollowHandlers {
  readonly onPod: (type: 'ADDED' | 'MODIFIED' | 'DELETED', pod: Pod) => void;
  readonly onWanted: (replicas: number) => void;
  /** The install is over: the workload is gone, or somebody has taken the agent out. */
  readonly onGone: (reason: string) => void;
}

/** Follows a workload and its pods until the signal; ends without error. */
export async function followObjects(client: KubeClient, followed: Followed, handlers: FollowHandlers): Promise<void> {
  await Promise.all([followPods(client, followed, handlers), followWorkload(client, followed, handlers)]);
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
  const { ref, record, signal, log } = followed;
  const path = workloadsPath(ref.kind, ref.namespace);
  const fieldSelector = `metadata.name=${ref.name}`;
  const name = workloadText(ref);
  for await (const event of watch<Workload>(client, path, { signal, fieldSelector, onState: logState(log, name) })) {
    if (event.type === 'SYNC') continue;
    if (event.type === 'DELETED') handlers.onGone(`${name} was deleted`);
    else {
      handlers.onWanted(wantedPods(ref.kind, event.object));
      const install = readInstall(event.object);
      if (install.state !== 'installed' || install.record.installId !== record.installId)
        handlers.onGone(`somebody has taken the agent out of ${name}`);
    }
  }
}

function logState(log: Log, what: string): (state: WatchState) => void {
  return (state) => {
    if (state.state === 'connected') log.debug('watch connected', { what });
    else log.debug('watch lost', { what, reason: errorText(state.error), delayMs: Math.round(state.delayMs) });
  };
}
