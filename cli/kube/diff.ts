import type { InstallPlan } from './plan.ts';

/** The text of --dry-run: one unified diff per object; code elided, secret values redacted. */
export function planDiff(plan: InstallPlan): string {
  throw new Error(`not built yet ${String(plan)}`);
}
