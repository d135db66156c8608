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

/** A terminal and a wrapper (timeout, npm) may both deliver what was sent once; nobody insists faster than this. */
const SAME_SIGNAL_MS = 300;

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
  readonly #lastSignalMs = new Map<NodeJS.Signals, number>();
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
   * Takes a signal: the first asks; a later Ctrl-C or SIGTERM forces, unless it is the same one delivered twice.
   * @param nowMs as performance.now()
   */
  takeSignal(signal: keyof typeof SIGNALS, nowMs: number): void {
    const lastMs = this.#lastSignalMs.get(signal);
    if (lastMs !== undefined && nowMs - lastMs < SAME_SIGNAL_MS) return;
    this.#lastSignalMs.set(signal, nowMs);
    const reason = signal === 'SIGINT' ? 'Ctrl-C' : signal;
    if (!this.#isAsked) this.ask({ reason, exitCode: SIGNALS[signal], signal });
    // A closed terminal sends SIGHUP behind whatever came first; only a person or a script insists by these two.
    else if (signal !== 'SIGHUP') this.force();
  }

  /**
   * Listens for Ctrl-C, SIGTERM and a closed terminal: see takeSignal().
   * @returns to be called when all is done: whoever still insists ends the program at once, with the exit code it has
   */
  handleSignals(log: Log): () => void {
    const handlers = Object.keys(SIGNALS).map((name) => {
      const signal = name as keyof typeof SIGNALS;
      const handler = (): void => {
        log.debug('signal', { signal });
        this.takeSignal(signal, performance.now());
      };
      process.on(signal, handler);
      return () => process.off(signal, handler);
    });
    return () => {
      for (const stop of handlers) stop();
      for (const signal of Object.keys(SIGNALS)) process.on(signal, () => process.exit());
      // Node takes a while to end, and a signal would be the end it tells of: nothing takes its handlers off in this way.
      process.once('exit', () => process.exit());
    };
  }
}
