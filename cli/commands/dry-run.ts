import { planDiff } from '../kube/diff.ts';
import type { InstallPlan } from '../kube/plan.ts';
import type { SessionVoice } from './session-start.ts';

/** --dry-run of an install: what a real run would warn of, then what it would change. @returns the exit code */
export function printInstall(plan: InstallPlan, options: { readonly json?: boolean }, voice: SessionVoice): number {
  for (const message of plan.warnings) voice.report({ event: 'warning', message });
  return printDiff(planDiff(plan), options, voice);
}

/** @returns the exit code */
export function printDiff(diff: string, options: { readonly json?: boolean }, { report }: SessionVoice): number {
  if (options.json === true) report({ event: 'plan', diff });
  else process.stdout.write(diff);
  return 0;
}
