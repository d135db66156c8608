import { InterceptorError } from '../../src/errors.ts';
import { type WorkloadRef, workloadText } from './objects.ts';
import type { RolloutView } from './rollout-judge.ts';

/** Room may come by itself (another pod leaves, a node is added); after this it is called a failure. */
export const UNSCHEDULABLE_FAILS_AFTER_MS = 60_000;

/** How long pods of a rollout have waited for a node with room. */
export class Unschedulable {
  readonly #ref: WorkloadRef;
  readonly #sinceMs = new Map<string, number>();

  readonly #failsAfterMs: number;

  constructor(ref: WorkloadRef, failsAfterMs = UNSCHEDULABLE_FAILS_AFTER_MS) {
    this.#ref = ref;
    this.#failsAfterMs = failsAfterMs;
  }

  /** @returns ROLLOUT_FAILED once one has waited for so long; to be asked again and again until then */
  judge({
    unschedulable,
    waitingFor,
  }: Pick<RolloutView, 'unschedulable' | 'waitingFor'>): InterceptorError | undefined {
    const now = performance.now();
    const present = new Set(unschedulable.map(({ metadata }) => metadata.uid ?? ''));
    for (const uid of this.#sinceMs.keys()) if (!present.has(uid)) this.#sinceMs.delete(uid);
    for (const uid of present) {
      const sinceMs = this.#sinceMs.get(uid) ?? now;
      this.#sinceMs.set(uid, sinceMs);
      if (now - sinceMs < this.#failsAfterMs) continue;
      return new InterceptorError('ROLLOUT_FAILED', `${workloadText(this.#ref)}: ${waitingFor ?? 'no node has room'}`, {
        hint: 'no node has room for one more pod with the agent: make room, or lower the replicas',
      });
    }
    return undefined;
  }
}
