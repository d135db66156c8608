import { FIELD_MANAGER, type KubeObject } from './client.ts';
import { objectText } from './kept.ts';
import { MANAGED_BY_LABEL } from './names.ts';

/** Who keeps an object as it is written down elsewhere. */
export interface GitOpsOwner {
  readonly tool: 'Argo CD' | 'Flux' | 'Helm';
  /** The tool's own object, for people and commands: `application "shop"`, `kustomization "apps"`. */
  readonly by: string;
  /**
   * What has to be set so that the tool leaves these objects alone, all of them its own; undefined:
   * nothing, as the tool does not look again by itself.
   */
  readonly setting: ((objects: readonly KubeObject[]) => string) | undefined;
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
const ARGO_ADVICE = `in the Application:\n${ARGO_SETTING}`;

/** The tool that an object belongs to, by its labels, annotations and field managers. Pure. @returns undefined: none that we know */
export function gitOpsOwner(object: KubeObject): GitOpsOwner | undefined {
  const { labels = {}, annotations = {}, namespace = '' } = object.metadata;
  const managers = managersOf(object);
  const isArgos = managers.some((name) => ARGO_MANAGERS.includes(name));
  const [tracked] = (annotations[ARGO_TRACKING] ?? '').split(':');
  const application = tracked || labels[ARGO_INSTANCE] || (isArgos ? (labels[INSTANCE] ?? '') : undefined);
  if (application !== undefined)
    return { tool: 'Argo CD', by: named('application', application), setting: () => ARGO_ADVICE };
  const kustomization = labels[FLUX_KUSTOMIZATION];
  if (kustomization !== undefined) {
    const isOff = [labels, annotations].some((fields) => fields[FLUX_RECONCILE] === 'disabled');
    const whole = `flux suspend kustomization ${kustomization} -n ${labels[FLUX_KUSTOMIZATION_NAMESPACE] ?? 'flux-system'}`;
    const setting = (objects: readonly KubeObject[]): string => {
      const targets = `${objects.map(objectText).join(' ')} -n ${namespace}`;
      return `kubectl annotate ${targets} ${FLUX_RECONCILE}=disabled (and ${FLUX_RECONCILE}- afterwards); or: ${whole}`;
    };
    return { tool: 'Flux', by: named('kustomization', kustomization), setting: isOff ? undefined : setting };
  }
  const release = labels[FLUX_RELEASE];
  if (release !== undefined) {
    const where = labels[FLUX_RELEASE_NAMESPACE] ?? 'flux-system';
    const setting = `where its driftDetection is on: flux suspend helmrelease ${release} -n ${where}`;
    return { tool: 'Flux', by: named('helmrelease', release), setting: () => setting };
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
  const found = new Map<string, { tool: string; advice: string; owned: readonly KubeObject[] }>();
  for (const object of objects) {
    const owner = gitOpsOwner(object);
    if (owner?.setting === undefined) continue;
    const tool = ownerText(owner);
    const owned = [...(found.get(tool)?.owned ?? []), object];
    found.set(tool, { tool, advice: owner.setting(owned), owned });
  }
  return [...found.values()].map(({ tool, advice, owned }) => {
    const [belong, them] = owned.length > 1 ? ['belong', 'them'] : ['belongs', 'it'];
    const names = owned.map(objectText).join(' and ');
    return `${names} ${belong} to ${tool}, which may put ${them} back and so end the intercept; to keep it off, ${advice}`;
  });
}

/**
 * What helps against whoever reverts this object.
 * @param manager whoChanged()
 * @param others what is intercepted besides: what is to be set is told for all that have the same owner
 */
export function afterRevertHint(
  object: KubeObject,
  manager: string | undefined,
  others: readonly KubeObject[] = [],
): string {
  const owner = gitOpsOwner(object);
  if (owner?.setting !== undefined) {
    const isOwned = (other: KubeObject): boolean => {
      const its = gitOpsOwner(other);
      return (
        its?.setting !== undefined && ownerText(its) === ownerText(owner) && objectText(other) !== objectText(object)
      );
    };
    const owned = [object, ...others.filter(isOwned)];
    return `so that ${ownerText(owner)} leaves ${owned.length > 1 ? 'them' : 'it'} alone, ${owner.setting(owned)}`;
  }
  if (manager !== undefined && ARGO_MANAGERS.includes(manager))
    return `so that Argo CD leaves it alone, ${ARGO_ADVICE}`;
  return 'agree with whoever did it, and intercept again';
}

/** `Argo CD (application "shop")`. */
function ownerText({ tool, by }: GitOpsOwner): string {
  return `${tool} (${by})`;
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
