import { InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { SessionIdentity } from '../../src/protocol/control.ts';
import { type Installed, install, markKept, retargetService } from '../kube/apply.ts';
import { endingAppsText, untilAppsEnded } from '../kube/apps-end.ts';
import type { KubeClient } from '../kube/client.ts';
import { withdrawExtension } from '../kube/extension.ts';
import { newInstallId } from '../kube/names.ts';
import { type Service, type WorkloadRef, wantedPods, workloadText } from '../kube/objects.ts';
import type { InstallRequest } from '../kube/plan.ts';
import { waitForRollout } from '../kube/rollout.ts';
import type { Report } from '../ui/events.ts';
import { podUsesInstall } from './agent-pods.ts';
import { followObjects } from './follow-objects.ts';
import { handBack, restoreFailed } from './hand-back.ts';
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
  readonly #installId = newInstallId();
  #installed: Installed | undefined;

  constructor(options: WorkloadHostOptions) {
    const { kind, namespace, name } = options.request;
    this.ref = { kind, namespace, name };
    this.#options = options;
  }

  get brought(): boolean {
    return this.#installed !== undefined;
  }

  async bring(signal: AbortSignal): Promise<Brought> {
    const { client, request, report } = this.#options;
    const installed = await install(client, { ...request, installId: this.#installId }, { signal });
    this.#installed = installed;
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
    const { generation } = this.#present.workload.metadata;
    await waitForRollout(client, this.ref, {
      signal,
      ...(generation === undefined ? {} : { generation }),
      onProgress: ({ updatedReady, wanted, waitingFor }) => {
        onWait(waitingFor ?? `pods ${updatedReady}/${wanted}`);
        const held = waitingFor === undefined ? {} : { waitingFor };
        report({ event: 'rollout', ready: updatedReady, wanted, ...held });
      },
    });
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
    const { client, log } = this.#options;
    const { workload, record } = this.#present;
    await followObjects(client, { ref: this.ref, workload, record, signal, log }, handlers);
  }

  async held(): Promise<void> {
    const { client, request } = this.#options;
    if (request.keepAgent) await markKept(client, this.ref, this.#present.record);
  }

  /** Points a Service's numeric target ports to the agents. @returns the Service as it is now; undefined: no change was needed */
  async retarget(name: string, signal: AbortSignal): Promise<Service | undefined> {
    const { client, report } = this.#options;
    const service = await retargetService(client, this.ref, this.#present.record, name, { signal });
    if (service !== undefined) report({ event: 'retargeted', service: name });
    return service;
  }

  async handBack({ error, statuses, replaces, signal }: HostEnd): Promise<'settled' | 'unsure'> {
    const { client, identity, request, report, log } = this.#options;
    // Nothing of ours is there, or it is somebody else's.
    if (error instanceof InterceptorError) {
      if (error.code === 'TARGET_IN_USE') return 'settled';
      if (!this.brought && isBeforePatch(error)) return 'settled';
    }
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
        installId: this.brought ? undefined : this.#installId,
        report,
        log,
        ...(statuses.length === 0 ? {} : { statuses }),
        signal,
      });
      return outcome === 'unsure' ? 'unsure' : 'settled';
    } catch (cause) {
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

  get #present(): Installed {
    if (this.#installed === undefined) throw new InterceptorError('INTERNAL', 'no agent has been brought in');
    return this.#installed;
  }
}

/** Refusals that come before anything was written. */
function isBeforePatch(error: InterceptorError): boolean {
  return error.code.startsWith('USAGE_') || error.code.startsWith('TARGET_');
}
