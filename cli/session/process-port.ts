import type { Log } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { PortChoice } from '../kube/ports.ts';
import type { PortReport, Report } from '../ui/events.ts';
import { pause } from './backoff.ts';
import { HttpProxy } from './http-proxy.ts';
import { isListening, untilListening } from './listening.ts';
import { requireFreePort } from './port-in-use.ts';
import type { PortStatus } from './status.ts';
import { RESTART_HOLD_MS, ToProcess } from './to-process.ts';

const WATCH_MS = 250;

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
  readonly #hosts: readonly string[];
  readonly #port: number;
  readonly #bytes: ToProcess;
  readonly #http: HttpProxy | undefined;
  #routedTo: 'laptop' | 'app' = 'app';
  #listening = false;
  #wake: (() => void) | undefined;

  constructor(options: ProcessPortOptions) {
    this.#options = options;
    this.choice = options.choice;
    // Programs that listen on "localhost" get ::1 alone on many systems.
    this.#hosts =
      options.to === undefined || options.to.host === 'localhost' ? ['127.0.0.1', '::1'] : [options.to.host];
    this.#port = options.to?.port ?? options.choice.localPort;
    const onRefused = (): void => this.#wake?.();
    this.#bytes = new ToProcess({ hosts: this.#hosts, port: this.#port, log: options.log, onRefused });
    this.#http = options.http ? this.#createHttpProxy() : undefined;
  }

  /** `127.0.0.1:3000`, for people and events. */
  get address(): string {
    const [host = '127.0.0.1'] = this.#hosts;
    return host.includes(':') ? `[${host}]:${this.#port}` : `${host}:${this.#port}`;
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
    for (const host of this.#hosts) if (await isListening({ host, port: this.#port })) return true;
    return false;
  }

  /**
   * That a command which is to be started can listen; with `--to` the process is one that the user names.
   * @throws InterceptorError USAGE_BAD_PORT
   */
  async requireFree(): Promise<void> {
    if (this.#options.to === undefined) await requireFreePort(this.#port, this.#hosts);
  }

  /** Resolves when something listens. */
  async untilListening(signal: AbortSignal): Promise<void> {
    const [host = '127.0.0.1'] = this.#hosts;
    await untilListening({ host, port: this.#port }, signal);
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
      await this.untilListening(signal).catch(() => {}); // aborted: the loop ends
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
    const [host = '127.0.0.1'] = this.#hosts;
    return new HttpProxy({
      target: { host, port: this.#port },
      holdMs: RESTART_HOLD_MS,
      onRequest: ({ method, path, status, ms }) => report({ event: 'request', method, path, status, ms }),
    });
  }
}
