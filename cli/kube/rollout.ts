import { InterceptorError } from '../../src/errors.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { type KubeClient, type KubeObject, KubeStatusError } from './client.ts';
import { corePath } from './guarded-patch.ts';
import {
  labelSelectorText,
  type Pod,
  type Workload,
  type WorkloadRef,
  wantedPods,
  workloadsPath,
  workloadText,
} from './objects.ts';
import { controllerOf } from './owners.ts';
import { type EventView, eventProblem } from './reasons.ts';
import { failureError, goneError, readFirst } from './rollout-failure.ts';
import { HOLD_ROOM_MS, holdRefusal } from './rollout-hold.ts';
import { judgeRollout, type ReplicaSet, type RolloutState, type RolloutView } from './rollout-judge.ts';
import { OldPods } from './rollout-old-pods.ts';
import { Unschedulable } from './rollout-unschedulable.ts';
import { takenOutSelector } from './taken-out.ts';
import { watch } from './watch.ts';

export interface RolloutProgress {
  /** Pods of the new template that are ready. */
  readonly updatedReady: number;
  readonly wanted: number;
  /** What is being waited for, in the cluster's own words: `web-5d…: pulling image`. */
  readonly waitingFor: string | undefined;
}

export interface RolloutOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long no further pod may become ready; DEFAULT_ROLLOUT_DEADLINE_MS unless given. */
  readonly deadlineMs?: number | undefined;
  /** The rollout of at least this metadata.generation; the one read first unless given. */
  readonly generation?: number | undefined;
  /** Of a restore: pods that hold a StatefulSet's rollout up are deleted, and refusals of the template being left do not count. */
  readonly restoring?: boolean | undefined;
  /** Of a Deployment: see RolloutState. Held, it is rejected with HoldRefused where there is no room for all pods at once. */
  readonly hold?: 'held' | 'given-up' | undefined;
  /** On every change, and at once. */
  onProgress?: ((progress: RolloutProgress) => void) | undefined;
}

export const DEFAULT_ROLLOUT_DEADLINE_MS = 10 * 60_000;
/** A restore waits at most this long for pods that were told to end: a node's proxy may send callers to them for a second and more. */
export const LEAVING_MS = 2_000;
const TICK_MS = 1_000;

type KubeEvent = KubeObject & EventView;

/**
 * Waits until every wanted pod runs the workload's present template, is ready, and no pod of an older one is left to serve.
 * Where the workload's controller leaves its old pods alone they are deleted here, one at a time (OnDelete), or taken out and
 * deleted once callers have heard (a ReplicaSet); who waits for the same rollout again goes on with what is left.
 * @returns the workload as last seen
 * @throws InterceptorError AGENT_IMAGE_UNAVAILABLE, ROLLOUT_FAILED with the cluster's reason, as soon as it is definite;
 *   TARGET_NOT_FOUND when the workload is deleted meanwhile; CLUSTER_*; the signal's reason
 */
export async function waitForRollout(
  client: KubeClient,
  ref: WorkloadRef,
  options: RolloutOptions = {},
): Promise<Workload> {
  const workload = await readFirst(client, ref, options.signal);
  const wait = new RolloutWait(client, ref, options, workload);
  return await wait.run();
}

class RolloutWait {
  readonly #client: KubeClient;
  readonly #ref: WorkloadRef;
  readonly #options: RolloutOptions;
  readonly #state: RolloutState;
  readonly #unschedulable: Unschedulable;
  /** When the rollout was first seen to be complete. */
  #doneMs: number | undefined;
  #leavingTimer: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;
  readonly #startedMs = performance.now();
  /** The most pods of the present template that were ready at once. */
  #mostReady = 0;
  readonly #tasks = new TaskGroup();
  readonly #oldPods: OldPods;
  readonly #ended = new AbortController();
  /** Set by the watches; the rollout is judged only on complete lists. */
  #synced = { workload: false, pods: false, replicaSets: false, takenOut: false };
  #lastProgress = '';
  #settle: { resolve: (workload: Workload) => void; reject: (failure: unknown) => void } | undefined;

  constructor(client: KubeClient, ref: WorkloadRef, options: RolloutOptions, workload: Workload) {
    this.#client = client;
    this.#ref = ref;
    this.#options = options;
    this.#unschedulable = new Unschedulable(
      ref,
      options.hold === 'held' && wantedPods(ref.kind, workload) > 1 ? HOLD_ROOM_MS : undefined,
    );
    this.#oldPods = new OldPods({
      client,
      tasks: this.#tasks,
      isStopped: () => options.signal?.aborted === true,
      onFailure: (failure) => this.#settle?.reject(failure),
    });
    this.#state = {
      kind: ref.kind,
      generation: options.generation ?? workload.metadata.generation ?? 0,
      restoring: options.restoring === true,
      hold: options.hold,
      workload,
      pods: new Map(),
      replicaSets: new Map(),
      eventProblems: new Map(),
      takenOut: new Map(),
      asked: this.#oldPods.asked,
    };
  }

  async run(): Promise<Workload> {
    const { signal: outer, deadlineMs = DEFAULT_ROLLOUT_DEADLINE_MS } = this.#options;
    const { namespace, name, kind } = this.#ref;
    const { workload } = this.#state;
    const labelSelector = labelSelectorText(workload?.spec.selector);
    const settled = new Promise<Workload>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    const onAbort = (): void => this.#settle?.reject(outer?.reason);
    outer?.addEventListener('abort', onAbort, { once: true });
    if (outer?.aborted === true) onAbort();
    const tick = setInterval(() => this.#judge(), TICK_MS);
    this.#deadline = setTimeout(() => this.#settle?.reject(this.#tooLong()), deadlineMs);
    const hasSets = kind === 'Deployment' || kind === 'Rollout';
    this.#synced.replicaSets = !hasSets;
    try {
      this.#follow<Workload>(
        workloadsPath(kind, namespace),
        { fieldSelector: `metadata.name=${name}` },
        (type, object) => {
          if (type === 'SYNC') this.#synced.workload = true;
          else if (type === 'DELETED') this.#settle?.reject(goneError(this.#ref));
          else this.#state.workload = object;
        },
      );
      this.#follow<Pod>(corePath('pods', namespace), { labelSelector }, (type, object) => {
        if (type === 'SYNC') this.#synced.pods = true;
        else keep(this.#state.pods, type, object);
      });
      this.#synced.takenOut = kind !== 'ReplicaSet' || workload === undefined;
      if (kind === 'ReplicaSet' && workload !== undefined)
        this.#follow<Pod>(
          corePath('pods', namespace),
          { labelSelector: takenOutSelector(workload) },
          (type, object) => {
            if (type === 'SYNC') this.#synced.takenOut = true;
            else keep(this.#state.takenOut, type, object);
          },
        );
      if (hasSets)
        this.#follow<ReplicaSet>(workloadsPath('ReplicaSet', namespace), { labelSelector }, (type, object) => {
          if (type === 'SYNC') this.#synced.replicaSets = true;
          else if (controllerOf(object)?.uid === workload?.metadata.uid) keep(this.#state.replicaSets, type, object);
        });
      this.#followEvents(namespace);
      return await settled;
    } finally {
      clearInterval(tick);
      clearTimeout(this.#deadline);
      clearTimeout(this.#leavingTimer);
      outer?.removeEventListener('abort', onAbort);
      this.#ended.abort();
      await this.#tasks.close();
    }
  }

  #follow<T extends KubeObject>(
    path: string,
    selection: { labelSelector?: string; fieldSelector?: string },
    take: (...event: ['SYNC', undefined] | ['ADDED' | 'MODIFIED' | 'DELETED', T]) => void,
  ): void {
    const run = async (): Promise<void> => {
      try {
        for await (const event of watch<T>(this.#client, path, { ...selection, signal: this.#ended.signal })) {
          if (event.type === 'SYNC') take('SYNC', undefined);
          else take(event.type, event.object);
          this.#judge();
        }
      } catch (failure) {
        this.#settle?.reject(failure);
      }
    };
    this.#tasks.add(run());
  }

  /** Events tell what no status does; a user who may not read them waits all the same. */
  #followEvents(namespace: string): void {
    const run = async (): Promise<void> => {
      let listed = false;
      try {
        const selection = { fieldSelector: 'type=Warning', signal: this.#ended.signal };
        for await (const event of watch<KubeEvent>(this.#client, corePath('events', namespace), selection)) {
          if (event.type === 'SYNC') listed = true;
          if (event.type === 'SYNC' || event.type === 'DELETED') continue;
          const uid = event.object.involvedObject?.uid;
          const problem = eventProblem(event.object);
          if (uid === undefined || problem === undefined) continue;
          // Old refusals of the workload are another rollout's; old words about a pod are about this very pod.
          if (!listed && uid === this.#state.workload?.metadata.uid) continue;
          this.#state.eventProblems.set(uid, problem);
          this.#judge();
        }
      } catch (failure) {
        if (!(failure instanceof KubeStatusError)) this.#settle?.reject(failure);
      }
    };
    this.#tasks.add(run());
  }

  #judge(): void {
    const { workload, pods, replicaSets, takenOut } = this.#synced;
    if (!workload || !pods || !replicaSets || !takenOut || this.#ended.signal.aborted) return;
    const view = judgeRollout(this.#state);
    const [leaving] = view.done ? this.#leaving(view) : [];
    this.#report(
      leaving === undefined ? view : { ...view, waitingFor: `${leaving.metadata.name}: the old pod to end` },
    );
    if (leaving !== undefined) return;
    if (view.done && this.#state.workload !== undefined) {
      this.#settle?.resolve(this.#state.workload);
      return;
    }
    const noRoom = this.#unschedulable.judge(view);
    const refusal = this.#options.hold === 'held' ? holdRefusal(view, noRoom) : undefined;
    if (refusal === undefined && view.failure !== undefined) {
      this.#fail(view.failure);
      return;
    }
    if (refusal !== undefined || noRoom !== undefined) {
      this.#settle?.reject(refusal ?? noRoom);
      return;
    }
    // kubernetes/kubernetes#67250: a StatefulSet does not replace a pod that never became ready, whatever its template says.
    if (this.#state.restoring) for (const pod of view.stuck) this.#oldPods.end(pod, false);
    this.#oldPods.endTakenOut(view.takenOut);
    const { workload: replicaSet } = this.#state;
    if (view.replace === undefined || replicaSet === undefined) return;
    if (this.#oldPods.replace(this.#ref.kind, view.replace, replicaSet)) this.#judge();
  }

  /** Of a restore: the pods to wait for although the rollout is complete, so that its end means that callers reach new pods only. */
  #leaving({ leaving }: RolloutView): readonly Pod[] {
    if (!this.#state.restoring) return [];
    this.#doneMs ??= performance.now();
    const leftMs = this.#doneMs + LEAVING_MS - performance.now();
    if (leftMs <= 0) return [];
    this.#leavingTimer ??= setTimeout(() => this.#judge(), leftMs + 1);
    return leaving;
  }

  #report({ updatedReady, wanted, waitingFor }: RolloutView): void {
    // One pod after the other of many takes its time: what ends the wait is that none comes any more.
    if (updatedReady > this.#mostReady) {
      this.#mostReady = updatedReady;
      this.#deadline?.refresh();
    }
    const progress: RolloutProgress = { updatedReady, wanted, waitingFor };
    const text = JSON.stringify(progress);
    if (text === this.#lastProgress) return;
    this.#lastProgress = text;
    this.#options.onProgress?.(progress);
  }

  #fail(failure: NonNullable<RolloutView['failure']>): void {
    const settle = this.#settle;
    this.#settle = undefined; // the logs are being fetched: nothing else decides now
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(3_000)]);
    this.#tasks.add(
      failureError(this.#client, this.#ref, failure, signal).then(
        (error) => settle?.reject(error),
        (failed: unknown) => settle?.reject(failed),
      ),
    );
  }

  #tooLong(): InterceptorError {
    const { waitingFor } = judgeRollout(this.#state);
    const tookMs = performance.now() - this.#startedMs;
    const text = `${workloadText(this.#ref)} is not rolled out after ${Math.round(tookMs / 1000)} s`;
    return new InterceptorError(
      'ROLLOUT_FAILED',
      waitingFor === undefined ? text : `${text}, waiting for ${waitingFor}`,
    );
  }
}

function keep<T extends KubeObject>(map: Map<string, T>, type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): void {
  const uid = object.metadata.uid ?? object.metadata.name;
  if (type === 'DELETED') map.delete(uid);
  else map.set(uid, object);
}
