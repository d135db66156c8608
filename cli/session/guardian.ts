import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DirectRecord } from './direct/record.ts';
import type { ProcessMark } from './process-mark.ts';

/** What the guardian needs to restore when its session is gone without a word. */
export interface GuardianTask {
  readonly sessionId: string;
  readonly kubeconfig: string | undefined;
  readonly context: string;
  readonly namespace: string;
  readonly workloadKind: string;
  readonly workloadName: string;
  readonly keepAgent: boolean;
  readonly socket: string;
  /** Its socket is removed with the record. */
  readonly direct: DirectRecord | undefined;
  /** Absolute path of --env-file; it is removed only if the session has written it. */
  readonly envFile: string | undefined;
  /** What the session's own install is called, whether it came to its patch or not. */
  readonly installId: string;
  /** The workload's uid: one that was deleted and made anew is not ours to touch. */
  readonly workloadUid: string;
}

export type GuardianMessage =
  | { readonly type: 'task'; readonly task: GuardianTask }
  | { readonly type: 'command'; readonly command: ProcessMark }
  | { readonly type: 'done' };

/**
 * A small process in a session of its own that outlives a kill -9 of the interceptor: when its standard input ends
 * without `done`, it ends the command, removes the --env-file and restores the cluster.
 */
export class Guardian {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts it; must be running before the first change to the cluster. */
  static start(task: GuardianTask, script: string = guardianScript()): Guardian {
    const child = spawn(process.execPath, [script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    child.on('error', () => {}); // without a guardian the next run in the namespace restores
    child.stdin?.on('error', () => {}); // EPIPE: somebody killed it
    child.unref();
    const guardian = new Guardian(child);
    guardian.#send({ type: 'task', task });
    return guardian;
  }

  /** Undefined: it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The command to end when the session is gone. */
  setCommand(command: ProcessMark): void {
    this.#send({ type: 'command', command });
  }

  /** Nothing is left to guard. */
  done(): void {
    this.#send({ type: 'done' });
    this.#child.stdin?.end();
  }

  /** Lets the guardian do the rest now: it restores as if the session had been killed. */
  handOver(): void {
    this.#child.stdin?.end();
  }

  #send(message: GuardianMessage): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }
}

function guardianScript(): string {
  // dist/chunks/*.mjs or dist/intercept.mjs, depending on how the bundler split it.
  const here = import.meta.url;
  return fileURLToPath(new URL(here.includes('/chunks/') ? '../guardian.mjs' : './guardian.mjs', here));
}
