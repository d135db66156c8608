import { InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import { originalService, originalWorkload, readRetarget } from '../kube/annotation.ts';
import { type Installed, install, markKept } from '../kube/apply.ts';
import { endingAppsText, untilAppsEnded } from '../kube/apps-end.ts';
import type { KubeClient } from '../kube/client.ts';
import { withdrawExtension } from '../kube/extension.ts';
import { INTERCEPT_ANNOTATION, newInstallId } from '../kube/names.ts';
import { isRefused, namespaceGoes } from '../kube/namespace-end.ts';
import { type Service, type WorkloadRef, wantedPods, workloadPath, workloadText } from '../kube/objects.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { rescueServices } from '../kube/restore-services.ts';
import { retargetService } from '../kube/retarget.ts';
import { waitForRollout } from '../kube/rollout.ts';
import { HoldRefused } from '../kube/rollout-hold.ts';
import type { Report } from '../ui/events.ts';
import { podUsesInstall } from './agent-pods.ts';
import { followObjects } from './follow-objects.ts';
import { type HandBackOptions, handBack, restoreFailed } from './hand-back.ts';
import { HeldPods } from './held-pods.ts';
import { HeldInstall } from './hold-install.ts';
import type { AgentHost, Brought, HostEnd, HostHandlers } from './host.ts';

export interface WorkloadHostOptions {
  readonly client: KubeClient;
  readonly identity: SessionIdentity;
  readonly request: InstallRequest;
  readonly report: Report;
  readonly log: Log;
}

/** The agents are sidecars of a workload's pods; its template and Service are restored at the end. */
export class WorkloadHost implements AgentHost {
  readonly ref: WorkloadRef;
  readonly #options: WorkloadHostOptions;
  readonly installId = newInstallId();
  #installed: Installed | undefined;
  #held: HeldInstall | undefined;
  #oldPods: HeldPods | undefined;
  /** What others have deleted: the workload or its last Service, or the namespace with all that is in it. */
  #deleted: 'object' | 'namespace' | undefined;

  constructor(options: WorkloadHostOptions) {
    const { kind, namespace, name } = options.request;
    this.ref = { kind, namespace, name };
    this.#options = options;
  }

  get brought(): boolean {
    return this.#installed !== undefined;
  }

  async bring(signal: AbortSignal): Promise<Brought> {
    const { client, request, report, log } = this.#options;
    // What a session that is gone has left pointing to agents that are gone, too, must not wait for the new ones.
    if (request.services.some((service) => readRetarget(service) !== undefined))
      await rescueServices(client, this.ref, undefined, { signal });
    const installed = await install(client, { ...request, installId: this.installId }, { signal });
    this.#installed = installed;
    const asked = new Set(request.ports.flatMap(({ service }) => service ?? []));
    const { services } = request;
    this.#oldPods = new HeldPods({ client, ref: this.ref, record: installed.record, services, asked, report, log });
    for (const message of installed.warnings) report({ event: 'warning', message });
    const workload = workloadText(this.ref);
    if (installed.reused) report({ event: 'agent-present', workload });
    else report({ event: 'patched', workload, agentImage: installed.record.image });
    return {
      credentials: installed.credentials,
      wanted: wantedPods(this.ref.kind, installed.workload),
      belongs: (pod) => podUsesInstall(pod, installed.record),
    };
  }

  async untilUp(signal: AbortSignal, onWait: (what: string) => void): Promise<void> {
    const { client, report } = this.#options;
    const rolledOut = async (generation: number | undefined, hold?: 'held' | 'given-up'): Promise<unknown> =>
      await waitForRollout(client, this.ref, {
        signal,
        hold,
        ...(generation === undefined ? {} : { generation }),
        onProgress: ({ updatedReady, wanted, waitingFor }) => {
          onWait(waitingFor ?? `pods ${updatedReady}/${wanted}`);
          const held = waitingFor === undefined ? {} : { waitingFor };
          report({ event: 'rollout', ready: updatedReady, wanted, ...held });
        },
      });
    const { generation } = this.#present.workload.metadata;
    const oldPods = this.#oldPods?.isHeld === true ? this.#oldPods : undefined;
    try {
      await rolledOut(generation, oldPods === undefined ? undefined : 'held');
    } catch (failure) {
      if (!(failure instanceof HoldRefused) || oldPods === undefined) throw failure;
      const over = new AbortController();
      const others = oldPods.bringOthers(AbortSignal.any([signal, over.signal]));
      try {
        await rolledOut(await oldPods.giveUp(failure.reason), 'given-up');
      } finally {
        over.abort();
        await others;
      }
    }
    const { workload, record } = this.#present;
    if (record.mode.kind !== 'replace') return;
    let told = false;
    await untilAppsEnded(client, workload, {
      signal,
      onWait: (apps) => {
        const what = endingAppsText(apps);
        onWait(what);
        if (!told) report({ event: 'waiting', for: what, seconds: apps.graceSeconds });
        told = true; // that fewer are left is for the status
      },
    });
  }

  async follow(signal: AbortSignal, handlers: HostHandlers): Promise<void> {
    const { client, request, report, log } = this.#options;
    const { workload, record } = this.#present;
    const { onGone } = handlers;
    const services = new Set(request.ports.flatMap(({ service }) => service ?? []));
    const retarget = async (service: string): Promise<unknown> => await this.retarget(service, signal);
    const { ports } = request;
    const asked = request.services.filter(({ metadata }) => services.has(metadata.name));
    const ours = { client, ref: this.ref, record, ports, workload, services: asked };
    const held = new HeldInstall({ ...ours, signal, report, log, retarget, onGone });
    this.#held = held;
    const settled = this.#oldPods?.settle(signal);
    await followObjects(
      client,
      { ref: this.ref, workload, services: [...services], signal, log },
      {
        ...handlers,
        onWorkload: (before, after) => held.sawWorkload(before, after),
        onWorkloadDeleted: async () => onGone(await this.#deletedText(workloadText(this.ref), signal)),
        onService: (service) => held.sawService(service),
        onServiceDeleted: async (name) => {
          services.delete(name);
          if (services.size === 0) onGone(await this.#deletedText(`service/${name}`, signal));
          else report({ event: 'warning', message: `service/${name} was deleted` });
        },
      },
    );
    await settled;
  }

  /** Why the session ends, what ends with it noted. */
  async #deletedText(what: string, signal: AbortSignal): Promise<string> {
    const { namespace } = this.ref;
    const goes = await namespaceGoes(this.#options.client, namespace, workloadPath(this.ref), signal);
    if (goes === 'yes') this.#deleted = 'namespace';
    else this.#deleted ??= 'object';
    if (goes === 'yes') return `namespace "${namespace}" was deleted, and ${what} with it`;
    const perhaps =
      goes === 'perhaps' ? `, and all rights in namespace "${namespace}" are gone: it is going, too, it seems` : '';
    return `${what} was deleted${perhaps}`;
  }

  async held(): Promise<void> {
    const { client, request } = this.#options;
    if (request.keepAgent) await markKept(client, this.ref, this.#present.record);
  }

  /** Points a Service's numeric target ports to the agents. @returns the Service as it is now; undefined: no change was needed */
  async retarget(name: string, signal: AbortSignal): Promise<Service | undefined> {
    const { client, report } = this.#options;
    const held = this.#oldPods?.isHeld === true;
    const service = await retargetService(client, this.ref, this.#present.record, name, { signal, held });
    await this.#oldPods?.switched(name, signal);
    if (service === undefined) return undefined;
    this.#held?.retargeted(service);
    report({ event: 'retargeted', service: name });
    return service;
  }

  async handBack({ error, statuses, replaces, signal }: HostEnd): Promise<'settled' | 'unsure'> {
    const { client, identity, request, report, log } = this.#options;
    // Nothing of ours is there, or it is somebody else's.
    if (error instanceof InterceptorError) {
      if (error.code === 'TARGET_IN_USE') return 'settled';
      if (!this.brought && isBeforePatch(error)) return 'settled';
    }
    if (this.#deleted === 'namespace') return 'settled'; // with all that is in it; nothing can be made there any more
    try {
      await this.#withdraw(error);
      const outcome = await handBack({
        client,
        ref: this.ref,
        identity,
        ownSessions: [identity.sessionId, ...replaces],
        keepAgent: request.keepAgent && error === undefined,
        takesOut: 'unused',
        // Nothing but an install that got stuck half-way is ours then.
        installId: this.brought ? undefined : this.installId,
        over: this.installId,
        ...this.#before,
        report,
        log,
        ...(statuses.length === 0 ? {} : { statuses }),
        signal,
      });
      if (outcome === 'kept') await this.#oldPods?.finish(signal);
      return outcome === 'unsure' ? 'unsure' : 'settled';
    } catch (cause) {
      // A namespace that is being deleted takes our rights before the rest of it.
      if (this.#deleted !== undefined && isRefused(cause)) {
        const message = `${workloadText(this.ref)} is not restored: ${cause.message}; its namespace is going, it seems`;
        report({ event: 'warning', message });
        return 'settled';
      }
      throw this.brought ? restoreFailed(this.ref, cause) : cause;
    }
  }

  /** Others who use the agent have it as it was, where what was added for this session does not come up. */
  async #withdraw(error: unknown): Promise<void> {
    const extension = this.#installed?.extension;
    const failed: readonly string[] = ['ROLLOUT_FAILED', 'AGENT_IMAGE_UNAVAILABLE'];
    if (extension === undefined || !(error instanceof InterceptorError) || !failed.includes(error.code)) return;
    await withdrawExtension(this.#options.client, this.ref, extension);
  }

  /** What the session has seen before it changed anything, to tell what others have changed since. */
  get #before(): Pick<HandBackOptions, 'originals' | 'recordText'> {
    if (this.#installed === undefined) return {};
    const { workload } = this.#installed;
    const { services } = this.#options.request;
    const recordText = workload.metadata.annotations?.[INTERCEPT_ANNOTATION];
    return { originals: [originalWorkload(workload), ...services.map(originalService)], recordText };
  }

  get #present(): Installed {
    if (this.#installed === undefined) throw new InterceptorError('INTERNAL', 'no agent has been brought in');
    return this.#installed;
  }
}

/** Refusals that come before anything was written. */
function isBeforePatch(error: InterceptorError): boolean {
  return error.code.startsWith('USAGE_') || error.code.startsWith('TARGET_');
}
