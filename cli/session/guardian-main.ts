import { createInterface } from 'node:readline';
import type { GuardianMessage, GuardianTask } from './guardian.ts';
import type { ProcessMark } from './process-mark.ts';

// Started by guardian.ts; holds nothing but its standard input until that ends. Everything else is loaded only then.
process.noDeprecation = true;
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => {});

let task: GuardianTask | undefined;
let command: ProcessMark | undefined;
let done = false;
for await (const line of createInterface({ input: process.stdin })) {
  const message = JSON.parse(line) as GuardianMessage; // written by our own parent
  if (message.type === 'task') task = message.task;
  else if (message.type === 'command') command = message.command;
  else done = true;
}
if (!done && task !== undefined) {
  const { takeOver } = await import('./take-over.ts');
  await takeOver(task, command);
}
