import { errorText, InterceptorError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import { isForbidden, type KubeClient } from '../kube/client.ts';
import { corePath } from '../kube/guarded-patch.ts';
import { newInstallId, ownPodName } from '../kube/names.ts';
import { createOwnPod, type OwnPod, type OwnPodRequest, removeOwnPod, removeOwnPodNamed } from '../kube/own-pod.ts';
import { untilOwnPodRuns } from '../kube/own-pod-wait.ts';
import { watch } from '../kube/watch.ts';
import type { Report } from '../ui/events.ts';
import { podUsesInstall } from './agent-pods.ts';
import type { AgentHost, Brought, HostEnd, HostHandlers, HostRef } from './host.ts';

export interface PodHostOptions {
  readonly client: KubeClient;
  readonly request: Omit<OwnPodRequest, 'installId'>;
  readonly report: Report;
  readonly log: Log;
}

/** The agent is a pod of the session's own, which is deleted at the end. */
export class PodHost implements AgentHost {
  readonly ref: HostRef;
  readonly #options: PodHostOptions;
  readonly #request: OwnPodRequest;
  #own: OwnPod | undefined;
  /** A pod may be there although bring() has failed: the answer to its creation was lost, or its removal failed. */
  #mayBeThere = false;
  #ending = false;

  constructor(options: PodHostOptions) {
    this.#options = options;
    this.#request = { ...options.request, installId: newInstallId() };
    const { namespace, createdBy, installId } = this.#request;
    this.ref = { kind: 'Pod', namespace, name: ownPodName(createdBy.user, installId) };
  }

  get installId(): string {
    return this.#request.installId;
  }

  get brought(): boolean {
    return this.#own !== undefined;
  }

  async bring(signal: AbortSignal): Promise<Brought> {
    const { client, report } = this.#options;
    this.#mayBeThere = true;
    const { pod, record, credentials } = await createOwnPod(client, this.#request, { signal });
    this.#own = { pod, record };
    report({ event: 'created', workload: this.#text, namespace: this.ref.namespace, agentImage: record.image });
    return { credentials, wanted: 1, belongs: (object) => podUsesInstall(object, record) };
  }

  async untilUp(signal: AbortSignal, onWait: (what: string) => void): Promise<void> {
    const { client, report } = this.#options;
    await untilOwnPodRuns(client, this.#present.pod, {
      signal,
      onProgress: (waitingFor) => {
        onWait(waitingFor);
        report({ event: 'waiting', for: waitingFor });
      },
    });
  }

  async follow(signal: AbortSignal, { onPod, onGone }: HostHandlers): Promise<void> {
    const { client, log } = this.#options;
    const { namespace, name } = this.ref;
    const selection = { signal, fieldSelector: `metadata.name=${name}` };
    for await (const event of watch(client, corePath('pods', namespace), selection)) {
      if (event.type === 'SYNC') continue;
      log.debug('own pod', { type: event.type });
      onPod(event.type, event.object);
      if (event.type === 'DELETED' && !this.#ending) onGone(`${this.#text} was deleted`);
    }
  }

  async held(): Promise<void> {}

  async handBack({ signal }: HostEnd): Promise<'settled'> {
    const { client, report } = this.#options;
    const own = this.#own;
    if (own === undefined && !this.#mayBeThere) return 'settled';
    this.#ending = true;
    try {
      if (own === undefined) {
        const { namespace, name } = this.ref;
        if (!(await removeOwnPodNamed(client, namespace, name))) return 'settled';
      } else await removeOwnPod(client, own, { signal });
    } catch (cause) {
      if (own === undefined && isForbidden(cause)) return 'settled'; // who may not look was not allowed to create
      const { namespace, name } = this.ref;
      throw new InterceptorError('RESTORE_INCOMPLETE', `${this.#text} is not removed yet: ${errorText(cause)}`, {
        hint: `it ends by itself; or: kubectl delete pod ${name} -n ${namespace}`,
        cause,
      });
    }
    report({ event: 'removed', workload: this.#text });
    return 'settled';
  }

  get #text(): string {
    return `pod/${this.ref.name}`;
  }

  get #present(): OwnPod {
    if (this.#own === undefined) throw new InterceptorError('INTERNAL', 'no pod has been created');
    return this.#own;
  }
}
