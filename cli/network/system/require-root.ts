import { InterceptorError } from '../../../src/errors.ts';

/** @throws InterceptorError LAPTOP_NEEDS_ROOT; for the command to call before it touches the cluster */
export function requireRoot(): void {
  if (process.getuid === undefined || process.getuid() === 0) return; // Windows refuses by itself
  throw new InterceptorError('LAPTOP_NEEDS_ROOT', 'only root may put the whole laptop inside the cluster', {
    hint: 'sudo --preserve-env=KUBECONFIG intercept connect …; without root: intercept connect --network proxy, or intercept run -- <command>',
  });
}
