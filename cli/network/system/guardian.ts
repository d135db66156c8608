import { spawn } from 'node:child_process';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export interface SystemGuardianTask {
  readonly folder: string;
  readonly journalId: string;
  readonly resolvConf: string;
}

/** It only waits: that it ends by itself each time is no accident any more. */
const MAX_STARTS = 10;

/**
 * A small process of its own that outlives a kill -9 of the session and puts the laptop back at once. Killed alone, it is
 * started again; where both are killed together, the next run does it (undoLeftovers).
 */
export class SystemGuardian {
  readonly #task: SystemGuardianTask;
  #input: Writable | undefined;
  #starts = 0;
  #done = false;

  private constructor(task: SystemGuardianTask) {
    this.#task = task;
  }

  /** Starts it; before the first change to the laptop. */
  static start(task: SystemGuardianTask): SystemGuardian {
    const guardian = new SystemGuardian(task);
    guardian.#start();
    return guardian;
  }

  /** Nothing is left to guard. */
  done(): void {
    this.#done = true;
    this.#input?.end('done\n');
  }

  #start(): void {
    if (this.#done || this.#starts >= MAX_STARTS) return;
    this.#starts += 1;
    const child = spawn(process.execPath, [...process.execArgv, script()], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
    });
    child.on('error', () => {}); // without a guardian the next run undoes
    child.on('exit', () => this.#start());
    child.stdin.on('error', () => {}); // EPIPE: somebody killed it
    child.unref();
    child.stdin.write(`${JSON.stringify(this.#task)}\n`);
    this.#input = child.stdin;
  }
}

function script(): string {
  const here = import.meta.url;
  if (here.endsWith('.ts')) return fileURLToPath(new URL('./guardian-main.ts', here)); // run from the sources
  // dist/chunks/*.mjs or dist/intercept.mjs, depending on how the bundler split it.
  return fileURLToPath(new URL(here.includes('/chunks/') ? '../system-guardian.mjs' : './system-guardian.mjs', here));
}
