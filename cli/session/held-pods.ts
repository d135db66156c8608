import { errorText } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Service, WorkloadRef } from '../kube/objects.ts';
import type { InstallRecord } from '../kube/record.ts';
import { releaseOldPods, settleServices, switchServices, tryPodsAgain } from '../kube/retarget.ts';
import { waitForRollout } from '../kube/rollout.ts';
import { CALLERS_HEAR_MS } from '../kube/taken-out.ts';
import type { Report } from '../ui/events.ts';
import { backoffMs, pause } from './backoff.ts';

/** An endpoints controller may look at pods as they were a moment ago. */
const PODS_SEEN_MS = 1_000;
/** How often pods that were refused are tried again. */
const REFUSED_AGAIN_MS = 3_000;

export interface HeldPodsOptions {
  readonly client: KubeClient;
  readonly ref: WorkloadRef;
  readonly record: InstallRecord;
  /** All that lead to the workload. */
  readonly services: readonly Service[];
  /** Names of those that traffic is taken through. */
  readonly asked: ReadonlySet<string>;
  readonly report: Report;
  readonly log: Log;
}

/**
 * The pods of the old template, which go on until no caller comes to them: first all Services are switched to ports that only the
 * new pods have, then callers hear of it, then the old pods are let go, and then Services have their names back. Every step
 * is on the objects, for whoever has to take it back, or goes on with it: a session that uses the same agent does the same.
 */
export class HeldPods {
  readonly #options: HeldPodsOptions;
  readonly #left: Set<string>;
  readonly #switched: Promise<void>;
  #haveSwitched: () => void = () => {};
  #isSettled: boolean;

  constructor(options: HeldPodsOptions) {
    this.#options = options;
    this.#left = new Set(options.asked);
    this.#isSettled = options.record.hold === undefined;
    this.#switched = new Promise((resolve) => {
      this.#haveSwitched = resolve;
    });
  }

  /** Whether there are old pods to let go. */
  get isHeld(): boolean {
    return !this.#isSettled;
  }

  /** Lets the old pods go before anything was switched: the cluster has no room for all of them. @returns the generation of it */
  async giveUp(reason: string): Promise<number | undefined> {
    const { client, ref, record, report } = this.#options;
    const message = `there is no room for all new pods beside the old ones (${reason}): pods are replaced as in any rollout; an app that exits at once on SIGTERM loses requests`;
    report({ event: 'warning', message });
    this.#isSettled = true;
    return (await releaseOldPods(client, ref, record.installId))?.workload.metadata.generation;
  }

  /** After giveUp(): new pods that were refused come when old ones have left. Until the signal; a failure is tried again. */
  async bringOthers(signal: AbortSignal): Promise<void> {
    const { client, ref, record, log } = this.#options;
    for (let tries = 1; ; tries++) {
      await pause(REFUSED_AGAIN_MS, signal);
      if (signal.aborted) return;
      try {
        await tryPodsAgain(client, ref, record.installId, tries);
      } catch (failure) {
        log.debug('refused pods not tried again', { tries, reason: errorText(failure) });
      }
    }
  }

  /** A Service of those that were asked for leads to agents only; with the last of them the others are switched. */
  async switched(name: string, signal: AbortSignal): Promise<void> {
    if (this.#isSettled) return;
    const { client, ref, record, services, asked } = this.#options;
    this.#left.delete(name);
    if (this.#left.size > 0) return;
    const others = services.filter(({ metadata }) => !asked.has(metadata.name));
    await switchServices(client, ref, record, others, { signal });
    this.#haveSwitched();
  }

  /** Does the rest once all are switched; ends without error, at the latest with the signal. */
  async settle(signal: AbortSignal): Promise<void> {
    if (this.#isSettled || signal.aborted) return;
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([this.#switched, stopped]);
    await pause(CALLERS_HEAR_MS, signal);
    for (let tries = 1; !signal.aborted && !this.#isSettled; tries++)
      try {
        await this.finish(signal);
      } catch (failure) {
        this.#options.log.warn('old pods not let go', { tries, reason: errorText(failure) });
        await pause(backoffMs(tries), signal);
      }
  }

  /** Lets the old pods go and puts the Services' names back; safe to repeat. @throws InterceptorError ROLLOUT_FAILED, CLUSTER_* */
  async finish(signal: AbortSignal): Promise<void> {
    if (this.#isSettled) return;
    const { client, ref, record } = this.#options;
    const after = await releaseOldPods(client, ref, record.installId);
    if (after !== undefined) {
      await waitForRollout(client, ref, { signal, generation: after.workload.metadata.generation });
      await pause(PODS_SEEN_MS, signal);
      signal.throwIfAborted();
      await settleServices(client, ref, after.record);
    }
    this.#isSettled = true;
  }
}
