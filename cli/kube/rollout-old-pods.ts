import type { TaskGroup } from '../../src/task-group.ts';
import { type KubeClient, KubeStatusError } from './client.ts';
import { corePath } from './guarded-patch.ts';
import { isPodReady, type Pod, type Workload, type WorkloadKind } from './objects.ts';
import { CALLERS_HEAR_MS, takeOutPod } from './taken-out.ts';

export interface OldPodsOptions {
  readonly client: KubeClient;
  readonly tasks: TaskGroup;
  /** Nothing more is asked for. */
  readonly isStopped: () => boolean;
  readonly onFailure: (failure: unknown) => void;
}

/** What a wait for a rollout does to pods of older templates where the workload's controller leaves them alone. */
export class OldPods {
  /** Uids of pods that were asked to leave: the watch may not have told yet. */
  readonly asked = new Set<string>();
  readonly #options: OldPodsOptions;
  readonly #told = new Set<string>();
  /** When a pod that was taken out was first seen to be so. */
  readonly #outSinceMs = new Map<string, number>();

  constructor(options: OldPodsOptions) {
    this.#options = options;
  }

  /**
   * Tells a pod to end.
   * @param must nobody else does it: that it is refused ends the wait
   * @returns whether it had not been told before
   */
  end(pod: Pod, must: boolean): boolean {
    const { uid } = pod.metadata;
    if (uid === undefined || this.#told.has(uid) || this.#options.isStopped()) return false;
    this.#told.add(uid);
    this.asked.add(uid);
    this.#options.tasks.add(this.#delete(pod, must));
    return true;
  }

  /** Has a pod make room for its successor, in the way of its kind. @returns as end() */
  replace(kind: WorkloadKind, pod: Pod, workload: Workload): boolean {
    return kind === 'ReplicaSet' ? this.#takeOut(pod, workload) : this.end(pod, true);
  }

  /** Takes a serving pod out of its ReplicaSet and Services; one that does not serve is deleted. @returns as end() */
  #takeOut(pod: Pod, replicaSet: Workload): boolean {
    const { uid } = pod.metadata;
    if (!isPodReady(pod)) return this.end(pod, true);
    if (uid === undefined || this.asked.has(uid) || this.#options.isStopped()) return false;
    this.asked.add(uid);
    const run = async (): Promise<void> => {
      try {
        if (!(await takeOutPod(this.#options.client, pod, replicaSet))) this.end(pod, true);
      } catch (failure) {
        this.#options.onFailure(failure);
      }
    };
    this.#options.tasks.add(run());
    return true;
  }

  /** Ends pods that were taken out, each once its callers have heard. To be called again and again. */
  endTakenOut(pods: readonly Pod[]): void {
    const nowMs = performance.now();
    for (const pod of pods) {
      const uid = pod.metadata.uid ?? '';
      const sinceMs = this.#outSinceMs.get(uid) ?? nowMs;
      this.#outSinceMs.set(uid, sinceMs);
      if (!isPodReady(pod) || nowMs - sinceMs >= CALLERS_HEAR_MS) this.end(pod, true);
    }
  }

  async #delete(pod: Pod, must: boolean): Promise<void> {
    const { name, namespace = '', uid } = pod.metadata;
    try {
      // Without a signal: what has been sent is waited for, or the next rollout might end a pod beside this one.
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      await this.#options.client.delete(corePath('pods', namespace, name), preconditions);
    } catch (failure) {
      // 409: another pod of that name by now, which is what was wanted
      if (failure instanceof KubeStatusError && (!must || failure.status === 409)) return;
      this.#options.onFailure(failure);
    }
  }
}
