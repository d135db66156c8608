import { createInterface } from 'node:readline';
import type { SystemGuardianTask } from './guardian.ts';

// Started by guardian.ts; holds nothing but its standard input until that ends. Everything else is loaded only then.
process.noDeprecation = true;
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => {});

let task: SystemGuardianTask | undefined;
let done = false;
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'done') done = true;
  else task = JSON.parse(line) as SystemGuardianTask; // written by our own parent
}
if (!done && task !== undefined) {
  const { undoWhenGone } = await import('./undo.ts');
  await undoWhenGone(task);
}
