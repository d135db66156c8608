import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { originalWorkload, readInstall } from '../kube/annotation.ts';
import { applyChanges, sameJson } from '../kube/changes.ts';
import { FIELD_MANAGER, type KubeClient, type KubeObject } from '../kube/client.ts';
import { afterRevertHint, gitOpsOwner } from '../kube/gitops.ts';
import { corePath, guardedPatch, readOrUndefined } from '../kube/guarded-patch.ts';
import { objectText } from '../kube/kept.ts';
import { type AskedPort, movedHint, movedText, portWays } from '../kube/moved-ports.ts';
import type { PodTemplate, Service, Workload, WorkloadRef } from '../kube/objects.ts';
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
  /** What is intercepted. */
  readonly ports: readonly AskedPort[];
  readonly workload: Workload;
  /** The intercepted Services as they were found. */
  readonly services: readonly Service[];
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
 * TARGET_REVERTED; so it does when an intercepted port of a Service is led elsewhere, which stays. Services that lead to agents which
 * are gone are put back before anything else.
 */
export class HeldInstall {
  readonly #options: HoldOptions;
  /** As they were when they led to the agents last. */
  readonly #leading = new Map<string, Service>();
  #template: PodTemplate;
  #setAgain = 0;
  #over = false;

  constructor(options: HoldOptions) {
    this.#options = options;
    this.#template = originalWorkload(options.workload).spec.template;
  }

  /** A Service has been pointed to the agents. */
  retargeted(service: Service): void {
    this.#leading.set(service.metadata.name, service);
  }

  /** Judges a state of the workload, and does what is to be done; resolves at the latest with the signal, without error. */
  async sawWorkload(before: Workload, seen: Workload): Promise<void> {
    this.#template = originalWorkload(seen).spec.template;
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
    let appAnswers = true; // an agent that nobody has taken out passes callers on
    if (install.state !== 'installed' || install.record.installId !== record.installId)
      appAnswers = await this.#rescue();
    else if (who !== FIELD_MANAGER) {
      // what is wholly ours and is gone (a container that was made anew) is not kept anywhere
      const isKnown = undoneInTemplate(after, install.record).every(({ ours }) => ours === undefined);
      if (isKnown && this.#mayFight(after)) {
        await this.#setTemplateAgain(ref, what, who, name);
        return;
      }
    }
    if (who === FIELD_MANAGER) this.#end(`somebody has taken the agent out of ${name}`);
    else this.#reverted(after, who, ` (${what})${appAnswers ? ': the app answers' : ''}`);
  }

  async #judgeService(known: Service): Promise<void> {
    const { signal } = this.#options;
    const { name } = known.metadata;
    // An event of before it was pointed to the agents may come late.
    const now = await this.#readService(name);
    if (now === undefined || this.#leadsToAgent(now)) return;
    const who = whoChanged(known, now);
    if (who === FIELD_MANAGER) return; // somebody restores: the workload follows
    if (this.#isMoved(now, who)) return;
    if (!this.#mayFight(now)) {
      this.#reverted(now, who, ': the app answers');
      return;
    }
    let failed = '';
    try {
      await this.#options.retarget(name);
    } catch (failure) {
      if (signal.aborted) return;
      failed = ` (it cannot be pointed at the agent again: ${errorText(failure)})`;
    }
    const then = await this.#readService(name);
    if (then === undefined) return; // deleted
    if (this.#leadsToAgent(then))
      this.#tell(`service/${name} has been put back by ${who ?? 'somebody'}; it is pointed at the agent again`);
    else if (!this.#isMoved(then, whoChanged(now, then) ?? who))
      this.#reverted(then, who, `${failed}: the app answers`);
  }

  async #readService(name: string): Promise<Service | undefined> {
    const { client, ref, signal } = this.#options;
    return await readOrUndefined<Service>(client, corePath('services', ref.namespace, name), signal);
  }

  /** What somebody has led elsewhere is not put back: it is theirs, and who listens there nobody here can tell. */
  #isMoved(service: Service, who: string | undefined): boolean {
    const { record, ports } = this.#options;
    const ways = portWays(service, record, ports, this.#template);
    const what = movedText(ways);
    if (what === '') return false;
    const by = who === undefined || who === FIELD_MANAGER ? 'somebody' : who;
    const text = `${objectText(service)} has been changed by ${by} while it was intercepted: ${what}`;
    this.#end(text, new InterceptorError('TARGET_REVERTED', text, { hint: movedHint(ways) }));
    return true;
  }

  #leadsToAgent(service: Service): boolean {
    const { ref, record, ports } = this.#options;
    const ways = portWays(service, record, ports, this.#template);
    if (ways.some(({ leads }) => leads === 'elsewhere')) return false;
    try {
      const planned = planService(service, ref, record);
      if (planned !== undefined) return sameJson(planned.spec.ports, service.spec.ports);
      const targets = record.mode.kind === 'sidecar' ? record.routes.map(({ targetName }) => targetName) : [];
      return (service.spec.ports ?? []).some(
        ({ targetPort }) => record.mode.kind !== 'sidecar' || targets.some((name) => name === targetPort),
      );
    } catch {
      return ways.every(({ leads }) => leads === 'agent'); // CLUSTER_CONFLICT: of a port that was not asked for
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

  /** The agents are gone with their pods: whoever calls must find the app. @returns whether they do */
  async #rescue(): Promise<boolean> {
    const { client, ref, record, report, log } = this.#options;
    for (let tries = 1; tries <= MAX_RESCUES; tries++)
      try {
        const back = await rescueServices(client, ref, record);
        for (const { service } of back) report({ event: 'restoring', step: objectText(service) });
        return true;
      } catch (failure) {
        log.warn('services not put back', { tries, reason: errorText(failure) });
      }
    return false;
  }

  #tell(message: string): void {
    this.#options.report({ event: 'warning', message });
  }

  /** @param more what is known besides, and who answers */
  #reverted(object: KubeObject, who: string | undefined, more: string): void {
    const text = `${objectText(object)} has been put back by ${who ?? 'somebody'} while it was intercepted${more}`;
    const { workload, services } = this.#options;
    const hint = afterRevertHint(object, who, [workload, ...services]);
    this.#end(text, new InterceptorError('TARGET_REVERTED', text, { hint }));
  }

  #end(reason: string, error?: InterceptorError): void {
    this.#over = true;
    this.#options.onGone(reason, error);
  }
}
