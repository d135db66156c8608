import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { readInstall } from '../kube/annotation.ts';
import { applyChanges, sameJson } from '../kube/changes.ts';
import { FIELD_MANAGER, type KubeClient, type KubeObject } from '../kube/client.ts';
import { afterRevertHint, gitOpsOwner } from '../kube/gitops.ts';
import { corePath, guardedPatch, readOrUndefined } from '../kube/guarded-patch.ts';
import { objectText } from '../kube/kept.ts';
import type { Service, Workload, WorkloadRef } from '../kube/objects.ts';
import { planService } from '../kube/plan-service.ts';
import type { InstallRecord } from '../kube/record.ts';
import { rescueServices } from '../kube/restore-services.ts';
import { revertText, undoneInTemplate, whoChanged } from '../kube/reverted.ts';
import { workloadPath } from '../kube/workload-kinds.ts';
import type { Report } from '../ui/events.ts';
import { backoffMs, pause } from './backoff.ts';

/** How often a session sets again what somebody has put back; who goes on is not to be fought. */
export const MAX_SET_AGAIN = 3;
/** Services without pods that answer are mended for as long as the API server fails; then by the session's end. */
const MAX_RESCUES = 5;

export interface HoldOptions {
  readonly client: KubeClient;
  readonly ref: WorkloadRef;
  readonly record: InstallRecord;
  readonly signal: AbortSignal;
  readonly report: Report;
  readonly log: Log;
  /** Points a Service to the agents once more. */
  readonly retarget: (service: string) => Promise<unknown>;
  readonly onGone: (reason: string, error?: InterceptorError) => void;
}

/**
 * Judges what others do to an intercepted workload and its Services while the session lives. Put back by hand or by an upgrade,
 * they are set again, MAX_SET_AGAIN times; put back by a tool that will do so again, or without the agent, the session ends with
 * TARGET_REVERTED. Services that lead to agents which are gone are put back before anything else.
 */
export class HeldInstall {
  readonly #options: HoldOptions;
  /** As they were when they led to the agents last. */
  readonly #leading = new Map<string, Service>();
  #setAgain = 0;
  #over = false;

  constructor(options: HoldOptions) {
    this.#options = options;
  }

  /** A Service has been pointed to the agents. */
  retargeted(service: Service): void {
    this.#leading.set(service.metadata.name, service);
  }

  /** Judges a state of the workload, and does what is to be done; resolves at the latest with the signal, without error. */
  async sawWorkload(before: Workload, seen: Workload): Promise<void> {
    if (this.#over || revertText(seen, this.#options.record.installId) === undefined) return;
    await this.#untilDone(() => this.#judgeWorkload(before));
  }

  /** The same for a Service that is intercepted. */
  async sawService(service: Service): Promise<void> {
    const known = this.#leading.get(service.metadata.name);
    if (this.#leadsToAgent(service)) this.retargeted(service);
    else if (known !== undefined && !this.#over) await this.#untilDone(() => this.#judgeService(known));
  }

  /** While the API server cannot be asked, nothing is known. */
  async #untilDone(judge: () => Promise<void>): Promise<void> {
    const { signal, log } = this.#options;
    for (let tries = 0; !signal.aborted && !this.#over; tries++)
      try {
        await judge();
        return;
      } catch (failure) {
        log.debug('what others have done is not known yet', { tries, reason: errorText(failure) });
        await pause(backoffMs(tries), signal);
      }
  }

  async #judgeWorkload(before: Workload): Promise<void> {
    const { client, record, ref, signal } = this.#options;
    // An event of before it was set again may come late.
    const after = await readOrUndefined<Workload>(client, workloadPath(ref), signal);
    const what = after === undefined ? undefined : revertText(after, record.installId);
    if (after === undefined || what === undefined) return;
    const who = whoChanged(before, after);
    const name = objectText(after);
    const install = readInstall(after);
    if (install.state !== 'installed' || install.record.installId !== record.installId) await this.#rescue();
    else if (who !== FIELD_MANAGER) {
      // what is wholly ours and is gone (a container that was made anew) is not kept anywhere
      const isKnown = undoneInTemplate(after, install.record).every(({ ours }) => ours === undefined);
      if (isKnown && this.#mayFight(after)) {
        await this.#setTemplateAgain(ref, what, who, name);
        return;
      }
    }
    if (who === FIELD_MANAGER) this.#end(`somebody has taken the agent out of ${name}`);
    else this.#reverted(after, who, what);
  }

  async #judgeService(known: Service): Promise<void> {
    const { client, ref, record, signal } = this.#options;
    const { name } = known.metadata;
    // An event of before it was pointed to the agents may come late.
    const now = await readOrUndefined<Service>(client, corePath('services', ref.namespace, name), signal);
    if (now === undefined || this.#leadsToAgent(now)) return;
    const who = whoChanged(known, now);
    if (who === FIELD_MANAGER) return; // somebody restores: the workload follows
    const what = `service/${name} does not lead to the agent of install ${record.installId} any more`;
    if (!this.#mayFight(now)) {
      this.#reverted(now, who, what);
      return;
    }
    this.#tell(`service/${name} has been put back by ${who ?? 'somebody'}; it is pointed at the agent again`);
    try {
      await this.#options.retarget(name);
      const again = await readOrUndefined<Service>(client, corePath('services', ref.namespace, name), signal);
      if (again !== undefined && !this.#leadsToAgent(again)) this.#reverted(again, who, what);
    } catch (failure) {
      if (signal.aborted) return;
      this.#reverted(now, who, `${what}: ${errorText(failure)}`);
    }
  }

  #leadsToAgent(service: Service): boolean {
    try {
      const { ref, record } = this.#options;
      const planned = planService(service, ref, record);
      if (planned !== undefined) return sameJson(planned.spec.ports, service.spec.ports);
      const targets = record.mode.kind === 'sidecar' ? record.routes.map(({ targetName }) => targetName) : [];
      return (service.spec.ports ?? []).some(
        ({ targetPort }) => record.mode.kind !== 'sidecar' || targets.some((name) => name === targetPort),
      );
    } catch {
      return false; // CLUSTER_CONFLICT: its target port is one that the agent has no port for
    }
  }

  /** A tool that keeps the object as it is written down elsewhere would go on for ever. */
  #mayFight(object: KubeObject): boolean {
    if (gitOpsOwner(object)?.setting !== undefined || this.#setAgain >= MAX_SET_AGAIN) return false;
    this.#setAgain++;
    return true;
  }

  async #setTemplateAgain(ref: WorkloadRef, what: string, who: string | undefined, name: string): Promise<void> {
    const { client, record, signal } = this.#options;
    this.#tell(`${name}: ${what} by ${who ?? 'somebody'}; it is set again, and the app answers meanwhile`);
    try {
      await guardedPatch<Workload>(client, workloadPath(ref), (current) => {
        signal.throwIfAborted();
        const install = readInstall(current);
        if (install.state !== 'installed' || install.record.installId !== record.installId) return undefined;
        return applyChanges(current, undoneInTemplate(current, install.record));
      });
    } catch (failure) {
      this.#options.log.warn('template not set again', { workload: name, reason: errorText(failure) }); // its next change is judged anew
    }
  }

  /** The agents are gone with their pods: whoever calls must find the app. */
  async #rescue(): Promise<void> {
    const { client, ref, record, report, log } = this.#options;
    for (let tries = 1; tries <= MAX_RESCUES; tries++)
      try {
        const back = await rescueServices(client, ref, record);
        for (const { service } of back) report({ event: 'restoring', step: objectText(service) });
        return;
      } catch (failure) {
        log.warn('services not put back', { tries, reason: errorText(failure) });
      }
  }

  #tell(message: string): void {
    this.#options.report({ event: 'warning', message });
  }

  #reverted(object: KubeObject, who: string | undefined, what: string): void {
    const name = objectText(object);
    const text = `${name} has been put back by ${who ?? 'somebody'} while it was intercepted (${what}): the app answers`;
    this.#end(text, new InterceptorError('TARGET_REVERTED', text, { hint: afterRevertHint(object, who) }));
  }

  #end(reason: string, error?: InterceptorError): void {
    this.#over = true;
    this.#options.onGone(reason, error);
  }
}
