import type { KubeMetadata, KubeObject } from './client-types.ts';
import type { WorkloadKind } from './workload-kinds.ts';

export { isWorkloadKind, type WorkloadKind, workloadPath, workloadResource, workloadsPath } from './workload-kinds.ts';

// Views of raw objects: the fields we read, everything else kept as it came (index signatures of KubeObject).

export interface Workload extends KubeObject {
  spec: WorkloadSpec;
  status?: WorkloadStatus;
}

export interface WorkloadSpec {
  replicas?: number;
  selector?: LabelSelector;
  template: PodTemplate;
  paused?: boolean;
  /** Deployment; a Rollout has `canary` or `blueGreen` instead of `type`. */
  strategy?: {
    type?: string;
    rollingUpdate?: RollingUpdate;
    canary?: RollingUpdate & { steps?: unknown[]; stableService?: string; [field: string]: unknown };
    blueGreen?: { activeService?: string; previewService?: string; [field: string]: unknown };
  };
  /** StatefulSet (partition) and DaemonSet (maxUnavailable; maxSurge from Kubernetes 1.22 on). */
  updateStrategy?: {
    type?: string;
    rollingUpdate?: RollingUpdate & { partition?: number; [field: string]: unknown };
  };
  /** StatefulSet only. */
  ordinals?: { start?: number };
  minReadySeconds?: number;
  progressDeadlineSeconds?: number;
  [field: string]: unknown;
}

export interface RollingUpdate {
  maxUnavailable?: number | string;
  maxSurge?: number | string;
}

export interface WorkloadStatus {
  /** Of a Rollout it is text. */
  observedGeneration?: number | string;
  replicas?: number;
  updatedReplicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  currentReplicas?: number;
  currentRevision?: string;
  updateRevision?: string;
  /** DaemonSet only: its counts of pods, one per node. */
  desiredNumberScheduled?: number;
  updatedNumberScheduled?: number;
  numberReady?: number;
  numberAvailable?: number;
  conditions?: Condition[];
  [field: string]: unknown;
}

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  [field: string]: unknown;
}

export interface PodTemplate {
  metadata?: Partial<KubeMetadata>;
  spec: PodSpec;
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes?: { name: string; [field: string]: unknown }[];
  hostNetwork?: boolean;
  nodeSelector?: Record<string, string>;
  nodeName?: string;
  os?: { name?: string };
  securityContext?: SecurityContext;
  [field: string]: unknown;
}

export interface SecurityContext {
  runAsUser?: number;
  runAsGroup?: number;
  runAsNonRoot?: boolean;
  [field: string]: unknown;
}

export interface Container {
  name: string;
  image?: string;
  env?: EnvVariable[];
  envFrom?: { prefix?: string; [field: string]: unknown }[];
  ports?: ContainerPort[];
  volumeMounts?: VolumeMount[];
  securityContext?: SecurityContext;
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
  lifecycle?: { postStart?: Probe; preStop?: Probe };
  restartPolicy?: string;
  [field: string]: unknown;
}

export interface EnvVariable {
  name: string;
  value?: string;
  valueFrom?: { resourceFieldRef?: { containerName?: string; [field: string]: unknown }; [field: string]: unknown };
}

export interface ContainerPort {
  name?: string;
  containerPort: number;
  protocol?: string;
  hostPort?: number;
  hostIP?: string;
  [field: string]: unknown;
}

export interface VolumeMount {
  name: string;
  mountPath: string;
  readOnly?: boolean;
  subPath?: string;
  subPathExpr?: string;
  [field: string]: unknown;
}

/** A probe or a lifecycle handler: who may name a port. */
export interface Probe {
  httpGet?: { port: number | string; [field: string]: unknown };
  tcpSocket?: { port: number | string; [field: string]: unknown };
  grpc?: { port: number; [field: string]: unknown };
  [field: string]: unknown;
}

export interface Service extends KubeObject {
  spec: {
    type?: string;
    clusterIP?: string;
    selector?: Record<string, string>;
    ports?: ServicePort[];
    [field: string]: unknown;
  };
}

export interface ServicePort {
  name?: string;
  protocol?: string;
  port: number;
  targetPort?: number | string;
  [field: string]: unknown;
}

export interface Pod extends KubeObject {
  spec: PodSpec;
  status?: PodStatus;
}

export interface PodStatus {
  phase?: string;
  reason?: string;
  message?: string;
  podIP?: string;
  conditions?: Condition[];
  containerStatuses?: ContainerStatus[];
  initContainerStatuses?: ContainerStatus[];
  [field: string]: unknown;
}

export interface ContainerStatus {
  name: string;
  ready?: boolean;
  restartCount?: number;
  image?: string;
  state?: ContainerState;
  lastState?: ContainerState;
  [field: string]: unknown;
}

export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: string };
  terminated?: { exitCode: number; signal?: number; reason?: string; message?: string; [field: string]: unknown };
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}

/** Names a workload in a namespace; all that restore() needs. */
export interface WorkloadRef {
  readonly kind: WorkloadKind;
  readonly namespace: string;
  readonly name: string;
}

/** `deployment/web`, as users write it and messages show it. */
export function workloadText(ref: { readonly kind: string; readonly name: string }): string {
  return `${ref.kind.toLowerCase()}/${ref.name}`;
}

/**
 * Whether the controller has seen generation `wanted` of the workload, and the workload as it is now. A Rollout's number is
 * text; one that is no number (Argo Rollouts before 0.10) says nothing, and counts as seen, as Argo itself has it.
 */
export function isObserved({ metadata, status }: Workload, wanted = 0): boolean {
  const observed = Number(status?.observedGeneration ?? 0);
  return Number.isNaN(observed) || observed >= Math.max(wanted, metadata.generation ?? 0);
}

/** How many pods a workload is to have: its replicas, or (DaemonSet) the nodes that its controller has counted. */
export function wantedPods(kind: WorkloadKind, { spec, status }: Workload): number {
  return kind === 'DaemonSet' ? (status?.desiredNumberScheduled ?? 0) : (spec.replicas ?? 1);
}

/** Whether the workload's controller leaves it to others to end old pods: OnDelete, and a ReplicaSet of its own. */
export function isReplacedByHand(kind: WorkloadKind, { spec }: Workload): boolean {
  return kind === 'ReplicaSet' || (kind !== 'Deployment' && spec.updateStrategy?.type === 'OnDelete');
}

/** Whether the Service has no address of its own: its callers go to the pods' addresses and ports. */
export function isHeadless({ spec }: Service): boolean {
  return spec.clusterIP === 'None';
}

/** A map selector (Service, NodeSelector) against labels; an empty selector matches nothing here. */
export function matchesLabels(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => labels?.[key] === value);
}

/** A LabelSelector against labels; an empty selector matches everything, as the API defines it. */
export function matchesSelector(
  selector: LabelSelector | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const have = labels ?? {};
  if (!Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => have[key] === value)) return false;
  return (selector?.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = have[key];
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}

/** The `labelSelector` query text of a map selector. */
export function selectorText(selector: Readonly<Record<string, string>>): string {
  return Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

/** The `labelSelector` query text of a LabelSelector. */
export function labelSelectorText(selector: LabelSelector | undefined): string {
  const parts = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values = [] } of selector?.matchExpressions ?? []) {
    if (operator === 'In') parts.push(`${key} in (${values.join(',')})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${values.join(',')})`);
    else if (operator === 'Exists') parts.push(key);
    else if (operator === 'DoesNotExist') parts.push(`!${key}`);
  }
  return parts.join(',');
}

/** Whether the kubelet says the pod is ready and nobody has asked for its end. */
export function isPodReady(pod: Pod): boolean {
  return (
    pod.metadata.deletionTimestamp === undefined &&
    (pod.status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')
  );
}
