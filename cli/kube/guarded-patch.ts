import { InterceptorError } from '../../src/errors.ts';
import { isConflict, isNotFound, type KubeClient, type KubeObject, KubeStatusError, resourcePath } from './client.ts';
import { jsonPatch } from './json-patch.ts';
import type { Service, Workload } from './objects.ts';

export { workloadPath } from './workload-kinds.ts';

/** Controllers write status often; each conflict is one read and one plan. */
const MAX_TRIES = 12;

export interface Patched<T> {
  readonly object: T;
  /** False when there was nothing to change. */
  readonly changed: boolean;
}

/**
 * Reads an object, plans its next state and patches it, guarded by resourceVersion; a conflict is read and planned again.
 * @param plan pure; returns the object itself, or undefined, to change nothing
 * @returns undefined when the object does not exist
 * @throws InterceptorError CLUSTER_CONFLICT after MAX_TRIES, whatever `plan` throws, CLUSTER_*
 */
export async function guardedPatch<T extends KubeObject>(
  client: KubeClient,
  path: string,
  plan: (object: T) => T | undefined,
  options: { readonly signal?: AbortSignal | undefined; readonly known?: T | undefined } = {},
): Promise<Patched<T> | undefined> {
  const { signal } = options;
  let { known } = options;
  for (let tries = 1; ; tries++) {
    let before: T | undefined;
    try {
      before = known ?? (await client.get<T>(path, { signal }));
      known = undefined;
      const after = plan(before) ?? before;
      const operations = jsonPatch(before, after);
      if (operations.length === 0) return { object: before, changed: false };
      // As a value of the patched object it is a precondition (409); a "test" operation would come back as 422.
      const guard = {
        op: 'replace',
        path: '/metadata/resourceVersion',
        value: before.metadata.resourceVersion,
      } as const;
      return { object: await client.patch<T>(path, [guard, ...operations], 'json', { signal }), changed: true };
    } catch (failure) {
      if (isNotFound(failure)) return undefined;
      if (!isConflict(failure)) {
        // Operations are applied before versions are compared: on an object that has changed they may not fit at all (422).
        if (before === undefined || !(failure instanceof KubeStatusError) || failure.status !== 422) throw failure;
        known = await readOrUndefined<T>(client, path, signal);
        if (known?.metadata.resourceVersion === before.metadata.resourceVersion) throw failure;
      }
      if (tries >= MAX_TRIES)
        throw new InterceptorError('CLUSTER_CONFLICT', `somebody keeps changing ${path}`, {
          hint: 'another controller or person writes to it: try again when it rests',
          cause: failure,
        });
    }
  }
}

/** The REST path of an object of the core group: `services`, `secrets`, `configmaps`. */
export function corePath(resource: string, namespace: string, name?: string): string {
  return resourcePath({ apiVersion: 'v1', resource, namespace, name });
}

/** @returns undefined when there is none */
export async function readOrUndefined<T extends Workload | Service | KubeObject>(
  client: KubeClient,
  path: string,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    return await client.get<T>(path, { signal });
  } catch (failure) {
    if (isNotFound(failure)) return undefined;
    throw failure;
  }
}
