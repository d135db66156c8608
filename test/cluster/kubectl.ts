import { join } from 'node:path';
import { type RunOptions, run } from './exec.ts';
import type { Layout } from './layout.ts';

/** Runs kubectl as the cluster's administrator and returns its stdout. */
export async function kubectl(layout: Layout, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const program = join(layout.programsDir, 'bin/kubectl');
  const access = ['--kubeconfig', layout.kubeconfig, '--cache-dir', join(layout.stateDir, 'kubectl-cache')];
  return run([program, ...access, ...args], { timeoutMs: 30_000, ...options });
}
