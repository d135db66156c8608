import { type KeptChange, pathText } from './changes.ts';
import type { KubeObject } from './client-types.ts';
import { unifiedDiff } from './line-diff.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import { workloadText } from './objects.ts';
import { yamlLines } from './yaml-text.ts';

/** Set by the server or a controller on every write, or kubectl's own copy of the manifest. */
const SERVER_METADATA = ['managedFields', 'resourceVersion', 'generation', 'uid', 'creationTimestamp', 'selfLink'];
const SERVER_ANNOTATIONS = [
  INTERCEPT_ANNOTATION,
  'kubectl.kubernetes.io/last-applied-configuration',
  'deployment.kubernetes.io/revision',
  'deprecated.daemonset.template.generation',
  'rollout.argoproj.io/revision',
];

/**
 * What others have changed of an object between two moments, as a unified diff of its YAML, without what servers set.
 * @returns empty where nothing was
 */
export function othersDiff(before: KubeObject, after: KubeObject): string {
  return unifiedDiff('before the intercept', 'as it stays', yamlLines(plain(before)), yamlLines(plain(after)));
}

/** Values of others that a restore has left, as a diff of one line each: where what was before the intercept is not known in full. */
export function keptDiff(kept: readonly KeptChange[]): string {
  return kept
    .map(({ path, was, theirs }) => `-${pathText(path)}: ${valueText(was)}\n+${pathText(path)}: ${valueText(theirs)}\n`)
    .join('');
}

/** `deployment/web`. */
export function objectText({ kind = '', metadata }: KubeObject): string {
  return workloadText({ kind, name: metadata.name });
}

function valueText(value: KeptChange['was']): string {
  if (value === undefined) return '(unset)';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function plain(object: KubeObject): object {
  const { status: _status, ...rest } = object;
  const { annotations = {}, ...metadata } = object.metadata;
  const shown = Object.entries(annotations).filter(([name]) => !SERVER_ANNOTATIONS.includes(name));
  const kept = Object.fromEntries(Object.entries(metadata).filter(([name]) => !SERVER_METADATA.includes(name)));
  return {
    ...rest,
    metadata: { ...kept, ...(shown.length === 0 ? {} : { annotations: Object.fromEntries(shown) }) },
  };
}
