import type { Log } from '../../src/log.ts';

/** Why and how a session ends. */
export interface Leave {
  /** For people: `Ctrl-C`, `the command exited with code 0`, … */
  readonly reason: string;
  /** The session's exit code where no command's own decides. */
  readonly exitCode: number;
  /** Passed on to the command; SIGTERM unless given. */
  readonly signal?: NodeJS.Signals;
  /** What failed. */
  readonly error?: unknown;
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** The one decision to leave: the first that asks decides; a second request forces. */
export class Leaving {
  /** Aborted as soon as anybody asks: what starts up stops. */
  readonly signal: AbortSignal;
  readonly asked: Promise<Leave>;
  /** Aborted when somebody insists: nothing is waited for any more. */
  readonly forced: AbortSignal;
  readonly #starting = new AbortController();
  readonly #forcing = new AbortController();
  #resolve: (leave: Leave) => void = () => {};
  #isAsked = false;

  constructor() {
    this.signal = this.#starting.signal;
    this.forced = this.#forcing.signal;
    this.asked = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get isAsked(): boolean {
    return this.#isAsked;
  }

  ask(leave: Leave): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#resolve(leave);
    this.#starting.abort(new Error(leave.reason));
  }

  force(): void {
    this.#forcing.abort(new Error('forced'));
  }

  /**
   * Listens for Ctrl-C, SIGTERM and a closed terminal: the first asks, a second Ctrl-C or SIGTERM forces.
   * @returns stops listening
   */
  handleSignals(log: Log): () => void {
    const handlers = Object.entries(SIGNALS).map(([name, exitCode]) => {
      const signal = name as keyof typeof SIGNALS;
      const handler = (): void => {
        log.debug('signal', { signal });
        if (!this.#isAsked) this.ask({ reason: signal === 'SIGINT' ? 'Ctrl-C' : signal, exitCode, signal });
        // A closed terminal sends SIGHUP behind whatever came first; only a person or a script insists by these two.
        else if (signal !== 'SIGHUP') this.force();
      };
      process.on(signal, handler);
      return () => process.off(signal, handler);
    });
    return () => {
      for (const stop of handlers) stop();
    };
  }
}
