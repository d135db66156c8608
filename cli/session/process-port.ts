import type { Log } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { PortChoice } from '../kube/ports.ts';
import type { InnerPorts } from '../network/types.ts';
import type { PortReport, Report } from '../ui/events.ts';
import { pause } from './backoff.ts';
import { HttpProxy } from './http-proxy.ts';
import { ProcessPlace } from './process-place.ts';
import type { PortStatus } from './status.ts';
import { RESTART_HOLD_MS, ToProcess } from './to-process.ts';

const WATCH_MS = 250;
/** Neither Linux nor macOS tells an unprivileged process of new listeners. */
const LISTENING_POLL_MS = 50;

export interface ProcessPortOptions {
  readonly choice: PortChoice;
  /** `--to`: another host, and perhaps another port, than 127.0.0.1 and the local port. */
  readonly to: { readonly host: string; readonly port: number | undefined } | undefined;
  readonly http: boolean;
  readonly report: Report;
  readonly log: Log;
  /** Switches the port on all agents. */
  readonly setRoute: (appPort: number, to: 'laptop' | 'app') => Promise<void>;
}

/** One intercepted port on the laptop: where its streams go, and whether anything listens there. */
export class ProcessPort {
  readonly choice: PortChoice;
  readonly #options: ProcessPortOptions;
  readonly #place: ProcessPlace;
  readonly #bytes: ToProcess;
  readonly #http: HttpProxy | undefined;
  #routedTo: 'laptop' | 'app' = 'app';
  #listening = false;
  #wake: (() => void) | undefined;

  constructor(options: ProcessPortOptions) {
    this.#options = options;
    this.choice = options.choice;
    this.#place = new ProcessPlace(options.choice.localPort, options.to);
    const onRefused = (): void => this.#wake?.();
    this.#bytes = new ToProcess({ dial: this.#place.dial, log: options.log, onRefused });
    this.#http = options.http ? this.#createHttpProxy() : undefined;
  }

  /** `127.0.0.1:3000`, for people and events. */
  get address(): string {
    return this.#place.text;
  }

  get describe(): PortReport {
    const { servicePort, servicePortName, appPort } = this.choice;
    return { local: this.address, servicePort, servicePortName, appPort };
  }

  get status(): PortStatus {
    const openConnections = this.#bytes.openConnections + (this.#http?.openConnections ?? 0);
    return { ...this.describe, routedTo: this.#routedTo, listening: this.#listening, openConnections };
  }

  /** Takes a caller's stream from an agent. */
  take(stream: MuxStream): void {
    if (this.#http === undefined || !this.#listening) this.#bytes.take(stream);
    else {
      stream.accept();
      this.#http.handle(stream);
    }
  }

  /** Whether anything listens now. */
  async isListening(): Promise<boolean> {
    return await this.#place.isListening();
  }

  /**
   * That a command which is to be started can listen; with `--to` the process is one that the user names.
   * @throws InterceptorError USAGE_BAD_PORT
   */
  async requireFree(): Promise<void> {
    await this.#place.requireFree();
  }

  /**
   * A command is about to start.
   * @param inner where it has ports of its own: the laptop's may then be taken
   * @throws InterceptorError USAGE_BAD_PORT
   */
  async prepare(inner: InnerPorts | undefined): Promise<void> {
    await this.#place.prepare(inner);
  }

  /** Keeps the route true until the signal: laptop while something listens, app when it has not for RESTART_HOLD_MS. `expected`: a command was started that should listen soon. */
  async follow(signal: AbortSignal, options: { expected: boolean; onFirst: () => void }): Promise<void> {
    let { expected } = options;
    while (!signal.aborted) {
      if (await this.isListening()) {
        this.#listening = true;
        await this.#route('laptop');
        this.#options.report({ event: 'listening', address: this.address });
        options.onFirst();
        expected = false;
        await this.#untilGone(signal);
      }
      if (signal.aborted) return;
      this.#listening = false;
      await this.#route('app');
      if (expected) this.#options.report({ event: 'waiting', for: `the command to listen on ${this.address}` });
      else this.#options.report({ event: 'not-listening', address: this.address });
      expected = false;
      while (!signal.aborted && !(await this.isListening())) await pause(LISTENING_POLL_MS, signal);
    }
  }

  /** Hands new connections to the app, whatever listens. */
  async giveBack(): Promise<void> {
    await this.#route('app');
  }

  async drain(deadlineMs: number): Promise<void> {
    await this.#bytes.drain(deadlineMs);
  }

  async close(): Promise<void> {
    await Promise.all([this.#bytes.close(), this.#http?.close()]);
  }

  /** Resolves when nothing has listened for as long as callers are held. */
  async #untilGone(signal: AbortSignal): Promise<void> {
    for (let goneSince: number | undefined; !signal.aborted; ) {
      await Promise.race([
        pause(WATCH_MS, signal),
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      ]);
      if (await this.isListening()) goneSince = undefined;
      else {
        goneSince ??= Date.now();
        if (Date.now() - goneSince >= RESTART_HOLD_MS) return;
      }
    }
  }

  async #route(to: 'laptop' | 'app'): Promise<void> {
    this.#routedTo = to;
    await this.#options.setRoute(this.choice.appPort, to);
  }

  #createHttpProxy(): HttpProxy {
    const { report } = this.#options;
    const { host, port, dial } = this.#place;
    return new HttpProxy({
      target: { host, port },
      dial,
      holdMs: RESTART_HOLD_MS,
      onRequest: ({ method, path, status, ms }) => report({ event: 'request', method, path, status, ms }),
    });
  }
}
