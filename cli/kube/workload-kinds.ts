import { resourcePath } from './client-paths.ts';

/** Kinds whose pods can be given an agent. `Rollout` is Argo's, of clusters that have it: see argo-rollouts.ts. */
export type WorkloadKind = 'Deployment' | 'StatefulSet' | 'DaemonSet' | 'ReplicaSet' | 'Rollout';

interface KindFacts {
  readonly apiVersion: 'apps/v1' | 'argoproj.io/v1alpha1';
  /** Plural, lower case. */
  readonly resource: string;
  /** What users call it before the slash, besides the kind and its plural; the first is shown in hints. */
  readonly short: string;
}

const KINDS: Readonly<Record<WorkloadKind, KindFacts>> = {
  Deployment: { apiVersion: 'apps/v1', resource: 'deployments', short: 'deploy' },
  StatefulSet: { apiVersion: 'apps/v1', resource: 'statefulsets', short: 'sts' },
  DaemonSet: { apiVersion: 'apps/v1', resource: 'daemonsets', short: 'ds' },
  ReplicaSet: { apiVersion: 'apps/v1', resource: 'replicasets', short: 'rs' },
  Rollout: { apiVersion: 'argoproj.io/v1alpha1', resource: 'rollouts', short: 'ro' },
};

/** In the order in which a bare name is looked for. */
export const WORKLOAD_KINDS = Object.keys(KINDS) as readonly WorkloadKind[];

/** Whether a text (of an annotation, a state file, an owner reference) is a kind that can be given an agent. */
export function isWorkloadKind(kind: unknown): kind is WorkloadKind {
  return typeof kind === 'string' && Object.hasOwn(KINDS, kind);
}

/** The kind that a user means by `deploy`, `daemonsets`, `rs`, …; undefined for everything else. */
export function kindNamed(text: string): WorkloadKind | undefined {
  const name = text.toLowerCase();
  return WORKLOAD_KINDS.find((kind) => [KINDS[kind].short, kind.toLowerCase(), KINDS[kind].resource].includes(name));
}

/** Plural, lower-case resource name of a workload kind. */
export function workloadResource(kind: WorkloadKind): string {
  return KINDS[kind].resource;
}

/** `apps/v1`, or Argo's group and version. */
export function workloadApiVersion(kind: WorkloadKind): string {
  return KINDS[kind].apiVersion;
}

/** The REST path of all workloads of a kind, in a namespace or (undefined) in all. */
export function workloadsPath(kind: WorkloadKind, namespace: string | undefined): string {
  const { apiVersion, resource } = KINDS[kind];
  return resourcePath({ apiVersion, resource, namespace });
}

/** The REST path of one workload. */
export function workloadPath(ref: {
  readonly kind: WorkloadKind;
  readonly namespace: string;
  readonly name: string;
}): string {
  return `${workloadsPath(ref.kind, ref.namespace)}/${encodeURIComponent(ref.name)}`;
}
