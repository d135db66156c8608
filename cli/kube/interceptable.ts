import { InterceptorError } from '../../src/errors.ts';
import { originalWorkload } from './annotation.ts';
import { pauseText, unfinished } from './argo-rollouts.ts';
import {
  isHeadless,
  isPodReady,
  isReplacedByHand,
  type Pod,
  type Service,
  type Workload,
  type WorkloadKind,
  wantedPods,
  workloadText,
} from './objects.ts';
import { podProblem, problemText } from './reasons.ts';
import type { ResolvedTarget } from './target.ts';

/** How the pods' traffic is to be taken, besides by their Services. */
export interface Capture {
  /** --replace: the agent stands in for the app's container, on its own ports. */
  readonly replace: boolean;
  /** --capture redirect: what comes for the app's ports is redirected inside the pod. */
  readonly redirect: boolean;
}

type Interceptable = ResolvedTarget & { readonly service: Service };

/**
 * Refuses what cannot be intercepted so: no Service or a headless one (unless replaced or redirected), and
 * what requireJoinable() refuses. Pure.
 * @throws InterceptorError TARGET_UNSUPPORTED, TARGET_NOT_READY
 */
export function requireInterceptable(target: ResolvedTarget): Interceptable;
export function requireInterceptable(target: ResolvedTarget, capture: Capture): ResolvedTarget;
export function requireInterceptable(target: ResolvedTarget, capture?: Capture): ResolvedTarget {
  const { kind, service, workload } = target;
  const { replace = false, redirect = false } = capture ?? {};
  const name = workloadText({ kind, name: workload.metadata.name });
  if (service === undefined && !replace && !redirect)
    throw new InterceptorError('TARGET_UNSUPPORTED', `no Service selects the pods of ${name}`, {
      hint: 'a worker is taken over with --replace: its container is out while the process runs here; or make a Service that selects the pods',
    });
  if (service !== undefined && isHeadless(service) && !replace && !redirect)
    throw new InterceptorError(
      'TARGET_UNSUPPORTED',
      `service "${service.metadata.name}" is headless: its callers go to the pods' own addresses and ports, past the agent`,
      {
        hint: 'add --replace (the agent takes the place of the container) or --capture redirect (where NET_ADMIN is allowed), or intercept a Service with a cluster IP that selects the same pods',
      },
    );
  requireJoinable(target);
  return target;
}

/**
 * Refuses what cannot be given an agent now, Service or not: hostNetwork, Windows, paused, two revisions, no pods wanted, no
 * ready pod. Pure.
 * @throws InterceptorError TARGET_UNSUPPORTED, TARGET_NOT_READY
 */
export function requireJoinable({ kind, namespace, workload, pods }: ResolvedTarget): void {
  const name = workloadText({ kind, name: workload.metadata.name });
  refuseByTemplate(name, originalWorkload(workload));
  refuseHalfWay(kind, name, namespace, originalWorkload(workload));
  if (wantedPods(kind, workload) === 0)
    throw kind === 'DaemonSet'
      ? new InterceptorError('TARGET_NOT_READY', `${name} has no pods: no node is to run one`, {
          hint: 'see its nodeSelector, affinity and tolerations against the nodes',
        })
      : new InterceptorError('TARGET_NOT_READY', `${name} is scaled to 0: there is no pod to intercept`, {
          hint: `kubectl scale ${name} --replicas=1 -n ${namespace}`,
        });
  if (!pods.some(isPodReady)) throw notReady(name, namespace, pods);
}

function refuseByTemplate(name: string, { spec }: Workload): void {
  const { hostNetwork, nodeSelector, os } = spec.template.spec;
  if (hostNetwork === true)
    throw new InterceptorError('TARGET_UNSUPPORTED', `the pods of ${name} use the node's network (hostNetwork)`, {
      hint: "the agent's ports would be ports of the node; intercept a workload with a pod network",
    });
  if (os?.name === 'windows' || nodeSelector?.['kubernetes.io/os'] === 'windows')
    throw new InterceptorError('TARGET_UNSUPPORTED', `the pods of ${name} run on Windows nodes`, {
      hint: 'the agent runs on Linux nodes',
    });
}

/** A rollout of the user's own that has not come to its end would be carried on, or thrown away, by ours. */
function refuseHalfWay(kind: WorkloadKind, name: string, namespace: string, workload: Workload): void {
  const { spec } = workload;
  const rolling = kind === 'Rollout' ? unfinished(workload) : undefined;
  if (kind === 'Rollout' && (spec.paused === true || rolling !== undefined))
    throw new InterceptorError('TARGET_NOT_READY', `${name} ${pauseText(workload) ?? rolling ?? 'is paused'}`, {
      hint: 'the agent comes by a rollout of its own: finish or abort the one that is under way first',
    });
  if (spec.paused === true)
    throw new InterceptorError('TARGET_NOT_READY', `${name} is paused: nothing is rolled out`, {
      hint: `kubectl rollout resume ${name} -n ${namespace}`,
    });
  const { currentRevision, updateRevision } = workload.status ?? {};
  const partition = spec.updateStrategy?.rollingUpdate?.partition ?? 0;
  const held =
    partition > 0 && currentRevision !== updateRevision
      ? 'its partition'
      : isReplacedByHand(kind, workload) && outdated(kind, workload) > 0
        ? 'OnDelete'
        : undefined;
  if (held !== undefined)
    throw new InterceptorError('TARGET_NOT_READY', `${name} runs two revisions, held apart by ${held}`, {
      hint: 'the agent must reach every pod: finish or take back the rollout first',
    });
}

/** Pods that are not of the present template, as far as the status counts them (a ReplicaSet's does not). */
function outdated(kind: WorkloadKind, { status }: Workload): number {
  if (kind === 'DaemonSet') return (status?.desiredNumberScheduled ?? 0) - (status?.updatedNumberScheduled ?? 0);
  return kind === 'StatefulSet' ? (status?.replicas ?? 0) - (status?.updatedReplicas ?? 0) : 0;
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
