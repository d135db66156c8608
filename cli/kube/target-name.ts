import { InterceptorError } from '../../src/errors.ts';
import { kindNamed, type WorkloadKind } from './workload-kinds.ts';

/** What the user named: `web`, `svc/web`, `deploy/web`, `sts/web`, `ds/web`, `rs/web`, `rollout/web`. */
export interface TargetName {
  /** `pod` is refused by resolveTarget(), which looks up whose pod it is. */
  readonly kind: 'any' | 'service' | 'pod' | WorkloadKind;
  readonly name: string;
}

const SERVICE_NAMES = ['svc', 'service', 'services'];
const POD_NAMES = ['po', 'pod', 'pods'];
/** Kinds that users name and whose pods are made once for all. */
const ONCE: Readonly<Record<string, string>> = {
  job: 'job',
  jobs: 'job',
  cronjob: 'cronjob',
  cronjobs: 'cronjob',
  cj: 'cronjob',
};

/** @throws InterceptorError USAGE_BAD_TARGET; TARGET_UNSUPPORTED for a Job or CronJob */
export function parseTarget(text: string): TargetName {
  const parts = text.split('/');
  const name = parts.at(-1) ?? '';
  const before = (parts[0] ?? '').toLowerCase();
  const isName = parts.length <= 2 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(name);
  if (isName && parts.length === 1) return { kind: 'any', name };
  if (isName && SERVICE_NAMES.includes(before)) return { kind: 'service', name };
  if (isName && POD_NAMES.includes(before)) return { kind: 'pod', name };
  const kind = kindNamed(before);
  if (isName && kind !== undefined) return { kind, name };
  const once = Object.hasOwn(ONCE, before) ? ONCE[before] : undefined;
  if (isName && once !== undefined) throw onceError(`${once}/${name}`, once);
  throw new InterceptorError('USAGE_BAD_TARGET', `"${text}" is not a target`, {
    hint: 'name a Service or its workload: web, svc/web, deploy/web, sts/web, ds/web, rs/web or rollout/web',
  });
}

/**
 * Why Jobs and CronJobs are refused.
 * @param what who is refused: `job/report`
 * @param kind `job` or `cronjob`, in any case
 */
export function onceError(what: string, kind: string): InterceptorError {
  const why =
    kind.toLowerCase() === 'cronjob'
      ? 'a CronJob makes Jobs, whose pods run to their end and serve nobody'
      : "a Job's pod template cannot be changed, and its pods run to their end and serve nobody";
  return new InterceptorError('TARGET_UNSUPPORTED', `${what} cannot be intercepted: ${why}`, {
    hint: 'run its program on the laptop, inside the cluster: intercept run -- <command> (--as <its service account>)',
  });
}
