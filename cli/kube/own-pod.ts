import { InterceptorError } from '../../src/errors.ts';
import type { AgentConfig } from '../../src/protocol/agent-config.ts';
import { agentContainer } from './agent-container.ts';
import { codeConfigMap, credentialsSecret, MANAGED_SELECTOR } from './agent-objects.ts';
import { parseInstallRecord } from './annotation.ts';
import { type CallControl, deleteObjects } from './apply.ts';
import { type KubeClient, KubeStatusError, resourcePath } from './client.ts';
import { type AgentCredentials, makeCredentials } from './credentials.ts';
import { corePath, readOrUndefined } from './guarded-patch.ts';
import {
  AGENT_CONTAINER,
  CODE_VOLUME,
  CREDENTIALS_VOLUME,
  contentHash,
  DEFAULT_TUNNEL_PORT,
  INSTALL_LABEL,
  INTERCEPT_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  objectNames,
  ownPodName,
} from './names.ts';
import type { Pod } from './objects.ts';
import type { AgentOptions } from './plan.ts';
import type { InstallRecord } from './record.ts';

/** The pod ends itself when no session has used it for this long: its laptop, guardian included, is gone. */
export const OWN_POD_IDLE_EXIT_MS = 5 * 60_000;
/** Nothing in it is worth waiting for once its session has ended. */
const GRACE_SECONDS = 1;

/** A pod that is nothing but an agent: the place in the cluster of a session without a workload. */
export interface OwnPodRequest {
  readonly namespace: string;
  readonly agent: AgentOptions;
  readonly serviceAccount: string | undefined;
  readonly createdBy: { readonly user: string; readonly host: string };
  readonly installId: string;
}

export interface OwnPod {
  readonly pod: Pod;
  readonly record: InstallRecord;
}

/**
 * The pod as it is created. It passes PodSecurity "restricted", takes what an agent takes, and carries an install record as
 * workloads do (without changes), so that everything which talks to agents talks to it. Pure.
 * @param createdAt ISO 8601
 */
export function planOwnPod(request: OwnPodRequest, createdAt: string): OwnPod {
  const { namespace, agent, createdBy, installId, serviceAccount } = request;
  const name = ownPodName(createdBy.user, installId);
  const codeHash = contentHash(agent.code);
  const names = objectNames(createdBy.user, codeHash, installId);
  const tunnelPort = agent.firstPort ?? DEFAULT_TUNNEL_PORT;
  const config: AgentConfig = {
    version: 1,
    tunnelPort,
    container: AGENT_CONTAINER,
    app: 'present',
    routes: [],
    exitIdleMs: OWN_POD_IDLE_EXIT_MS,
  };
  const ports = [{ name: 'ki-tunnel', containerPort: tunnelPort }];
  const none = { name: AGENT_CONTAINER };
  const container = agentContainer(none, { spec: { containers: [none] } }, config, ports, agent);
  const record: InstallRecord = {
    version: 1,
    installId,
    createdBy: { user: createdBy.user, host: createdBy.host },
    createdAt,
    image: agent.image,
    codeHash,
    mode: { kind: 'sidecar' },
    container: AGENT_CONTAINER,
    tunnelPort,
    routes: [],
    ...names,
    keepAgent: false,
    changes: [],
  };
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: { [MANAGED_BY_LABEL]: MANAGED_BY, [INSTALL_LABEL]: installId },
      annotations: { [INTERCEPT_ANNOTATION]: JSON.stringify(record) },
    },
    spec: {
      containers: [container],
      restartPolicy: 'OnFailure', // an agent that ended because nobody uses it stays ended
      terminationGracePeriodSeconds: GRACE_SECONDS,
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
      automountServiceAccountToken: true,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      volumes: [
        { name: CODE_VOLUME, configMap: { name: names.configMap, defaultMode: 0o444 } },
        { name: CREDENTIALS_VOLUME, secret: { secretName: names.secret, defaultMode: 0o444 } },
      ],
    },
  };
  return { pod, record };
}

/**
 * Creates the pod and, owned by it, its ConfigMap and Secret. The pod first: where it is refused, nothing is left.
 * @throws InterceptorError TARGET_NOT_FOUND (service account), CLUSTER_*
 */
export async function createOwnPod(
  client: KubeClient,
  request: OwnPodRequest,
  { signal }: CallControl = {},
): Promise<OwnPod & { readonly credentials: AgentCredentials }> {
  const { namespace } = request;
  const { pod: planned, record } = planOwnPod(request, new Date().toISOString());
  // Made before the pod is: its kubelet asks for the Secret at once, and waits for long when it is not there.
  const credentials = await makeCredentials(planned.metadata.name);
  signal?.throwIfAborted();
  const pod = await client.create<Pod>(corePath('pods', namespace), planned).catch((failure: unknown) => {
    throw refused(request, failure);
  });
  const owner = { ...pod, apiVersion: 'v1', kind: 'Pod' };
  try {
    await Promise.all([
      client.create(corePath('configmaps', namespace), codeConfigMap(owner, record, request.agent.code)),
      client.create(corePath('secrets', namespace), credentialsSecret(owner, record, credentials)),
    ]);
    return { pod, record, credentials };
  } catch (failure) {
    await removeOwnPod(client, { pod, record }).catch(() => {}); // the refusal is what the user has to hear
    throw failure;
  }
}

/** Deletes the pod and its objects; those that are gone are fine. @throws InterceptorError CLUSTER_* */
export async function removeOwnPod(
  client: KubeClient,
  { pod, record }: { readonly pod: Pod; readonly record: InstallRecord | undefined },
  control: CallControl = {},
): Promise<void> {
  const { name, namespace = '' } = pod.metadata;
  await client.delete(corePath('pods', namespace, name), control);
  if (record !== undefined) await deleteObjects(client, namespace, record, control);
}

/** As removeOwnPod(), where only the name is known. @returns false when there is no such pod of ours */
export async function removeOwnPodNamed(client: KubeClient, namespace: string, name: string): Promise<boolean> {
  const pod = await readOrUndefined<Pod>(client, corePath('pods', namespace, name), undefined);
  if (pod === undefined || pod.metadata.labels?.[MANAGED_BY_LABEL] !== MANAGED_BY) return false;
  await removeOwnPod(client, { pod, record: recordOf(pod) });
  return true;
}

/** The pods of this kind in a namespace, or in all of them (undefined), whoever made them. @throws InterceptorError CLUSTER_* */
export async function listOwnPods(
  client: KubeClient,
  namespace: string | undefined,
  { signal }: CallControl = {},
): Promise<{ readonly pod: Pod; readonly record: InstallRecord | undefined }[]> {
  const path = resourcePath({ apiVersion: 'v1', resource: 'pods', namespace });
  const list = await client.list<Pod>(path, { labelSelector: MANAGED_SELECTOR, signal });
  return list.items.map((pod) => ({ pod, record: recordOf(pod) }));
}

/** @returns undefined where it cannot be read: a newer version's, or not ours */
export function recordOf(pod: Pod): InstallRecord | undefined {
  const text = pod.metadata.annotations?.[INTERCEPT_ANNOTATION];
  try {
    return text === undefined ? undefined : parseInstallRecord(text);
  } catch {
    return undefined; // a newer version's, or somebody's own
  }
}

function refused({ serviceAccount, namespace }: OwnPodRequest, failure: unknown): unknown {
  const missing = failure instanceof KubeStatusError && /serviceaccount "[^"]*" not found/.test(failure.serverMessage);
  if (!missing) return failure;
  return new InterceptorError(
    'TARGET_NOT_FOUND',
    `no service account "${serviceAccount ?? 'default'}" in namespace "${namespace}"`,
    { hint: `kubectl get serviceaccounts -n ${namespace} lists them`, cause: failure },
  );
}
