import { InterceptorError } from '../../src/errors.ts';
import { originalWorkload } from './annotation.ts';
import { isPodReady, type Pod, type Service, type Workload, workloadText } from './objects.ts';
import { podProblem, problemText } from './reasons.ts';
import type { ResolvedTarget } from './target.ts';

/**
 * Refuses what cannot be intercepted: no Service, a headless one, hostNetwork, Windows, paused, OnDelete, a canary by
 * partition, no replicas, no ready pod. Pure.
 * @throws InterceptorError TARGET_UNSUPPORTED, TARGET_NOT_READY
 */
export function requireInterceptable(target: ResolvedTarget): ResolvedTarget & { readonly service: Service } {
  const { kind, service, workload } = target;
  const name = workloadText({ kind, name: workload.metadata.name });
  if (service === undefined)
    throw new InterceptorError('TARGET_UNSUPPORTED', `no Service selects the pods of ${name}`, {
      hint: 'traffic is taken from a Service: make one that selects the pods',
    });
  if (service.spec.clusterIP === 'None')
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `service "${service.metadata.name}" is headless: its callers go to the pods' own addresses and ports, past the agent`,
      { hint: 'intercept a Service with a cluster IP that selects the same pods' },
    );
  requireJoinable(target);
  return { ...target, service };
}

/**
 * Refuses what cannot be given an agent now, Service or not: hostNetwork, Windows, paused, OnDelete, a canary by partition,
 * no replicas, no ready pod. Pure.
 * @throws InterceptorError TARGET_UNSUPPORTED, TARGET_NOT_READY
 */
export function requireJoinable({ kind, namespace, workload, pods }: ResolvedTarget): void {
  const name = workloadText({ kind, name: workload.metadata.name });
  refuseByTemplate(name, namespace, originalWorkload(workload));
  if ((workload.spec.replicas ?? 1) === 0)
    throw new InterceptorError('TARGET_NOT_READY', `${name} is scaled to 0: there is no pod to intercept`, {
      hint: `kubectl scale ${name} --replicas=1 -n ${namespace}`,
    });
  if (!pods.some(isPodReady)) throw notReady(name, namespace, pods);
}

function refuseByTemplate(name: string, namespace: string, workload: Workload): void {
  const { spec } = workload;
  const { hostNetwork, nodeSelector, os } = spec.template.spec;
  if (hostNetwork === true)
    throw new InterceptorError('TARGET_UNSUPPORTED', `the pods of ${name} use the node's network (hostNetwork)`, {
      hint: "the agent's ports would be ports of the node; intercept a workload with a pod network",
    });
  if (os?.name === 'windows' || nodeSelector?.['kubernetes.io/os'] === 'windows')
    throw new InterceptorError('TARGET_UNSUPPORTED', `the pods of ${name} run on Windows nodes`, {
      hint: 'the agent runs on Linux nodes',
    });
  if (spec.paused === true)
    throw new InterceptorError('TARGET_NOT_READY', `${name} is paused: nothing is rolled out`, {
      hint: `kubectl rollout resume ${name} -n ${namespace}`,
    });
  if (spec.updateStrategy?.type === 'OnDelete')
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `${name} has the update strategy OnDelete: its pods are not rolled out`,
      {
        hint: 'set spec.updateStrategy.type to RollingUpdate, or intercept a copy of the workload',
      },
    );
  const { currentRevision, updateRevision } = workload.status ?? {};
  if ((spec.updateStrategy?.rollingUpdate?.partition ?? 0) > 0 && currentRevision !== updateRevision)
    throw new InterceptorError('TARGET_NOT_READY', `${name} runs two revisions, held apart by its partition`, {
      hint: 'the agent must reach every pod: finish or take back the rollout first',
    });
}

function notReady(name: string, namespace: string, pods: readonly Pod[]): InterceptorError {
  for (const pod of pods) {
    const found = podProblem(pod);
    if (found !== undefined)
      return new InterceptorError(
        'TARGET_NOT_READY',
        `no pod of ${name} is ready: ${problemText(found, pod.metadata.name)}`,
        {
          hint: `kubectl describe pod ${pod.metadata.name} -n ${namespace}`,
        },
      );
  }
  return new InterceptorError('TARGET_NOT_READY', `no pod of ${name} is ready`, {
    hint: 'wait for the rollout, or see kubectl get pods',
  });
}
