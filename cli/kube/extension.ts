import { applyChanges, sameJson } from './changes.ts';
import type { KubeClient } from './client.ts';
import { guardedPatch } from './guarded-patch.ts';
import { INTERCEPT_ANNOTATION } from './names.ts';
import { type Workload, type WorkloadRef, workloadPath } from './objects.ts';

/** A workload before and after its agent was extended. */
export interface Extension {
  readonly before: Workload;
  readonly after: Workload;
}

/**
 * Takes an extension back whose pods do not come up: those who used the agent before have it as it was. Does not wait for the rollout.
 * @returns whether anything was changed: not where somebody else has changed the template since
 * @throws InterceptorError CLUSTER_*
 */
export async function withdrawExtension(client: KubeClient, ref: WorkloadRef, extension: Extension): Promise<boolean> {
  const patched = await guardedPatch<Workload>(client, workloadPath(ref), (current) => withdrawn(current, extension));
  return patched?.changed === true;
}

/** The workload with the extension taken back; as it is where template or annotation are not the extension's any more. Pure. */
export function withdrawn(current: Workload, { before, after }: Extension): Workload {
  const textOf = ({ metadata }: Workload): string | undefined => metadata.annotations?.[INTERCEPT_ANNOTATION];
  const isOurs = textOf(current) === textOf(after) && sameJson(current.spec.template, after.spec.template);
  if (!isOurs) return current;
  const { template } = before.spec;
  return applyChanges({ ...current, spec: { ...current.spec, template } }, [
    { path: ['metadata', 'annotations', INTERCEPT_ANNOTATION], now: textOf(before) ?? '' },
  ]);
}
