import { errorText } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { ControlMethod, ControlMethods, SessionIdentity } from '../../src/protocol/control.ts';
import { parseTunnelKey } from '../../src/protocol/handshake.ts';
import { readCredentials } from '../kube/apply.ts';
import { type KubeClient, resourcePath } from '../kube/client.ts';
import { isPodReady, labelSelectorText, type Pod, type Workload } from '../kube/objects.ts';
import type { InstallRecord } from '../kube/record.ts';
import { podUsesInstall } from './agent-pods.ts';
import { type AgentTunnelOptions, connectAgentTunnel } from './agent-tunnel.ts';
import { CarrierChoice } from './carriers.ts';

const ASK_DEADLINE_MS = 5_000;

/**
 * Asks every agent of an install one question over a tunnel of its own, without claiming anything.
 * @returns the answers of those that could be reached in ASK_DEADLINE_MS; none where the Secret is gone
 */
export async function askAgents<M extends ControlMethod>(
  client: KubeClient,
  workload: Workload,
  record: InstallRecord,
  identity: SessionIdentity,
  question: { readonly method: M; readonly params: ControlMethods[M]['params'] },
  log: Log,
): Promise<ControlMethods[M]['result'][]> {
  const namespace = workload.metadata.namespace ?? client.access.namespace;
  const signal = AbortSignal.timeout(ASK_DEADLINE_MS);
  try {
    const pods = await client.list<Pod>(resourcePath({ apiVersion: 'v1', resource: 'pods', namespace }), {
      labelSelector: labelSelectorText(workload.spec.selector),
      signal,
    });
    const ready = pods.items.filter((pod) => podUsesInstall(pod, record) && isPodReady(pod));
    return await askPods(client, ready, record, identity, question, log);
  } catch (error) {
    log.debug('agents cannot be asked', { method: question.method, reason: errorText(error) });
    return [];
  }
}

/** As askAgents(), of pods that are known: all carry an agent of the install. */
export async function askPods<M extends ControlMethod>(
  client: KubeClient,
  pods: readonly Pod[],
  record: InstallRecord,
  identity: SessionIdentity,
  question: { readonly method: M; readonly params: ControlMethods[M]['params'] },
  log: Log,
): Promise<ControlMethods[M]['result'][]> {
  const [first] = pods;
  if (first === undefined) return [];
  const namespace = first.metadata.namespace ?? client.access.namespace;
  const signal = AbortSignal.timeout(ASK_DEADLINE_MS);
  const carriers = new CarrierChoice('auto');
  try {
    const credentials = await readCredentials(client, namespace, record, { signal });
    const answers = await Promise.allSettled(
      pods.map(async (pod) => {
        const options: AgentTunnelOptions = {
          access: client.access,
          address: {
            namespace,
            pod: pod.metadata.name,
            tunnelPort: record.tunnelPort,
            certificate: credentials.tlsCert,
          },
          key: parseTunnelKey(credentials.key),
          identity,
          resumeMs: 0,
          onOpen: (stream) => stream.refuse('refused'),
          onEvent: () => {},
          log,
        };
        const tunnel = await carriers.dial((carrier) => connectAgentTunnel(options, carrier, signal));
        try {
          return await tunnel.control.request(question.method, question.params, { timeoutMs: ASK_DEADLINE_MS });
        } finally {
          await tunnel.close();
        }
      }),
    );
    return answers.flatMap((answer) => {
      if (answer.status === 'fulfilled') return [answer.value];
      log.debug('agent did not answer', { method: question.method, reason: errorText(answer.reason) });
      return [];
    });
  } catch (error) {
    log.debug('agents cannot be asked', { method: question.method, reason: errorText(error) });
    return [];
  }
}
