import { FIELD_MANAGER, type KubeObject } from './client.ts';
import { objectText } from './kept.ts';
import { MANAGED_BY_LABEL } from './names.ts';

/** Who keeps an object as it is written down elsewhere. */
export interface GitOpsOwner {
  readonly tool: 'Argo CD' | 'Flux' | 'Helm';
  /** The tool's own object, for people and commands: `application "shop"`, `kustomization "apps"`. */
  readonly by: string;
  /** What has to be set so that an intercept is left alone; undefined: nothing, as the tool does not look again by itself. */
  readonly setting: string | undefined;
}

const ARGO_TRACKING = 'argocd.argoproj.io/tracking-id';
const ARGO_INSTANCE = 'argocd.argoproj.io/instance';
/** Argo CD's default tracking label, and a label of many charts: it counts where Argo CD has written the object. */
const INSTANCE = 'app.kubernetes.io/instance';
const ARGO_MANAGERS = ['argocd-controller', 'argocd-application-controller'];
const FLUX_KUSTOMIZATION = 'kustomize.toolkit.fluxcd.io/name';
const FLUX_KUSTOMIZATION_NAMESPACE = 'kustomize.toolkit.fluxcd.io/namespace';
const FLUX_RELEASE = 'helm.toolkit.fluxcd.io/name';
const FLUX_RELEASE_NAMESPACE = 'helm.toolkit.fluxcd.io/namespace';
const HELM_RELEASE = 'meta.helm.sh/release-name';

/** Set on an object, it keeps Flux's kustomize-controller off it. */
const FLUX_RECONCILE = 'kustomize.toolkit.fluxcd.io/reconcile';

/** What an Application needs so that Argo CD leaves our fields, and ours alone, as they are. */
export const ARGO_SETTING = `spec:
  ignoreDifferences:
    - group: "*"
      kind: "*"
      managedFieldsManagers: [${FIELD_MANAGER}]
  syncPolicy:
    syncOptions: [RespectIgnoreDifferences=true]`;

/** The tool that an object belongs to, by its labels, annotations and field managers. Pure. @returns undefined: none that we know */
export function gitOpsOwner(object: KubeObject): GitOpsOwner | undefined {
  const { labels = {}, annotations = {}, namespace = '' } = object.metadata;
  const managers = managersOf(object);
  const isArgos = managers.some((name) => ARGO_MANAGERS.includes(name));
  const [tracked] = (annotations[ARGO_TRACKING] ?? '').split(':');
  const application = tracked || labels[ARGO_INSTANCE] || (isArgos ? (labels[INSTANCE] ?? '') : undefined);
  if (application !== undefined)
    return { tool: 'Argo CD', by: named('application', application), setting: `in the Application:\n${ARGO_SETTING}` };
  const kustomization = labels[FLUX_KUSTOMIZATION];
  if (kustomization !== undefined) {
    const isOff = [labels, annotations].some((fields) => fields[FLUX_RECONCILE] === 'disabled');
    const target = `${objectText(object)} -n ${namespace}`;
    const one = `kubectl annotate ${target} ${FLUX_RECONCILE}=disabled (and ${FLUX_RECONCILE}- afterwards)`;
    const all = `flux suspend kustomization ${kustomization} -n ${labels[FLUX_KUSTOMIZATION_NAMESPACE] ?? 'flux-system'}`;
    return {
      tool: 'Flux',
      by: named('kustomization', kustomization),
      setting: isOff ? undefined : `${one}; or: ${all}`,
    };
  }
  const release = labels[FLUX_RELEASE];
  if (release !== undefined) {
    const where = labels[FLUX_RELEASE_NAMESPACE] ?? 'flux-system';
    const setting = `where its driftDetection is on: flux suspend helmrelease ${release} -n ${where}`;
    return { tool: 'Flux', by: named('helmrelease', release), setting };
  }
  const isHelms = labels[MANAGED_BY_LABEL] === 'Helm' || managers.includes('helm');
  if (annotations[HELM_RELEASE] === undefined && !isHelms) return undefined;
  return { tool: 'Helm', by: named('release', annotations[HELM_RELEASE] ?? ''), setting: undefined };
}

/**
 * Warnings about objects that a tool may put back while they are intercepted: one for each of its own objects. None for Helm,
 * which writes only when it is told to, and merges then. Pure.
 */
export function gitOpsWarnings(objects: readonly KubeObject[]): string[] {
  const found = new Map<string, { owner: GitOpsOwner; names: string[] }>();
  for (const object of objects) {
    const owner = gitOpsOwner(object);
    if (owner?.setting === undefined) continue;
    const key = `${owner.tool} ${owner.by}`;
    const known = found.get(key) ?? { owner, names: [] };
    found.set(key, { ...known, names: [...known.names, objectText(object)] });
  }
  return [...found.values()].map(
    ({ owner, names }) =>
      `${names.join(' and ')} ${names.length > 1 ? 'belong' : 'belongs'} to ${owner.tool} (${owner.by}), which may put ${names.length > 1 ? 'them' : 'it'} back and so end the intercept; to keep it off, ${owner.setting}`,
  );
}

/** What helps against whoever reverts this object. @param manager whoChanged() */
export function afterRevertHint(object: KubeObject, manager: string | undefined): string {
  const owner = gitOpsOwner(object);
  if (owner?.setting !== undefined) return `so that ${owner.tool} (${owner.by}) leaves it alone, ${owner.setting}`;
  if (manager !== undefined && ARGO_MANAGERS.includes(manager))
    return `so that Argo CD leaves it alone, in the Application:\n${ARGO_SETTING}`;
  return 'agree with whoever did it, and intercept again';
}

function named(what: string, name: string): string {
  return name === '' ? what : `${what} "${name}"`;
}

function managersOf({ metadata: { managedFields } }: KubeObject): string[] {
  const entries: unknown[] = Array.isArray(managedFields) ? managedFields : [];
  return entries.flatMap((entry) => {
    const { manager } = (entry ?? {}) as { manager?: unknown };
    return typeof manager === 'string' ? [manager] : [];
  });
}
