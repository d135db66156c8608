import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface SystemGuardianTask {
  readonly folder: string;
  readonly journalId: string;
  readonly resolvConf: string;
}

/**
 * A small process of its own that outlives a kill -9 of the session and puts the laptop back at once. Where it is killed,
 * too, the next run does it (undoLeftovers).
 */
export class SystemGuardian {
  readonly #end: (text: string) => void;

  private constructor(end: (text: string) => void) {
    this.#end = end;
  }

  /** Starts it; before the first change to the laptop. */
  static start(task: SystemGuardianTask): SystemGuardian {
    const child = spawn(process.execPath, [...process.execArgv, script()], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
    });
    child.on('error', () => {}); // without a guardian the next run undoes
    child.stdin.on('error', () => {}); // EPIPE: somebody killed it
    child.unref();
    child.stdin.write(`${JSON.stringify(task)}\n`);
    return new SystemGuardian((text) => child.stdin.end(text));
  }

  /** Nothing is left to guard. */
  done(): void {
    this.#end('done\n');
  }
}

function script(): string {
  const here = import.meta.url;
  if (here.endsWith('.ts')) return fileURLToPath(new URL('./guardian-main.ts', here)); // run from the sources
  // dist/chunks/*.mjs or dist/intercept.mjs, depending on how the bundler split it.
  return fileURLToPath(new URL(here.includes('/chunks/') ? '../system-guardian.mjs' : './system-guardian.mjs', here));
}
