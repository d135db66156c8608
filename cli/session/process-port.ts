import type { Log } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import type { AppPort, RouteTo } from '../../src/protocol/control.ts';
import type { PortChoice } from '../kube/ports.ts';
import type { InnerPorts } from '../network/types.ts';
import type { PortReport, Report } from '../ui/events.ts';
import { atMost, pause } from './backoff.ts';
import { CopiesToProcess } from './copies-to-process.ts';
import { DatagramsToProcess } from './datagrams-to-process.ts';
import { speaksHttp2 } from './http-preface.ts';
import { HttpProxy } from './http-proxy.ts';
import { ProcessPlace } from './process-place.ts';
import type { PortStatus } from './status.ts';
import { ToProcess } from './to-process.ts';

const WATCH_MS = 250;
/** Neither Linux nor macOS tells an unprivileged process of new listeners. */
const LISTENING_POLL_MS = 50;

export interface ProcessPortOptions {
  readonly choice: PortChoice;
  /** `--to`: another host, and perhaps another port, than 127.0.0.1 and the local port. */
  readonly to: { readonly host: string; readonly port: number | undefined } | undefined;
  readonly http: boolean;
  /** Copies only: the process's answers are dropped, and nobody waits for it. */
  readonly mirror: boolean;
  readonly report: Report;
  readonly log: Log;
  /** How long callers wait for a process that has gone. */
  readonly holdMs: number;
  /** Who answers while it is down: the app, or nobody. */
  readonly fallback: 'app' | 'refuse';
  /** Who answers until it has listened for the first time: callers wait where there is no app. */
  readonly routeAtFirst: 'app' | 'held';
  /** Switches the port on all agents. */
  readonly setRoute: (port: AppPort, to: RouteTo) => Promise<void>;
}

/** What takes the callers' streams of a port. */
interface Taker {
  readonly openConnections: number;
  take(stream: MuxStream): void;
  drain(deadlineMs: number): Promise<void>;
  close(): Promise<void>;
}

/** One intercepted port on the laptop: where its streams go, and whether anything listens there. */
export class ProcessPort {
  readonly choice: PortChoice;
  readonly #options: ProcessPortOptions;
  readonly #place: ProcessPlace;
  readonly #taker: Taker;
  readonly #http: HttpProxy | undefined;
  #routedTo: RouteTo;
  #listening = false;
  /** Date.now() when the process, which had listened, was found away; undefined once it is given up. */
  #awaySinceMs: number | undefined;
  #wake: (() => void) | undefined;

  constructor(options: ProcessPortOptions) {
    this.#options = options;
    this.choice = options.choice;
    const { choice, http, to } = options;
    this.#routedTo = options.routeAtFirst;
    this.#place = new ProcessPlace(choice.localPort, to, choice.protocol);
    this.#taker = this.#createTaker();
    this.#http = http ? this.#createHttpProxy() : undefined;
  }

  /** `127.0.0.1:3000`, for people and events. */
  get address(): string {
    return this.#place.text;
  }

  get describe(): PortReport {
    const { service, servicePort, servicePortName, appPort, protocol } = this.choice;
    const ofService = service === undefined ? {} : { service };
    return { local: this.address, ...ofService, servicePort, servicePortName, appPort, protocol };
  }

  get key(): AppPort {
    const { appPort, protocol } = this.choice;
    return { appPort, protocol };
  }

  get status(): PortStatus {
    const openConnections = this.#taker.openConnections + (this.#http?.openConnections ?? 0);
    return { ...this.describe, routedTo: this.#routedTo, listening: this.#listening, openConnections };
  }

  /** Takes a caller's stream from an agent. */
  take(stream: MuxStream): void {
    if (this.#http === undefined || !this.#listening) this.#taker.take(stream);
    else {
      stream.accept();
      void this.#takeHttp(stream, this.#http);
    }
  }

  /** HTTP/2 in clear text goes to the process as bytes. */
  async #takeHttp(stream: MuxStream, http: HttpProxy): Promise<void> {
    const isHttp2 = await speaksHttp2(stream);
    if (isHttp2) this.#taker.take(stream);
    else if (stream.readableEnded) stream.end();
    else http.handle(stream);
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

  /**
   * Keeps the route true until the signal: laptop while something listens; callers wait once it does not, for at most
   * `holdMs`; then app, or with `fallback: 'refuse'` nobody.
   * @param options `expected`: a command was started that should listen soon
   */
  async follow(signal: AbortSignal, options: { expected: boolean; onFirst: () => void }): Promise<void> {
    let { expected } = options;
    const { routeAtFirst, fallback, mirror } = this.#options;
    let withoutProcess: RouteTo = routeAtFirst;
    while (!signal.aborted) {
      if ((await this.isListening()) && !signal.aborted) {
        this.#listening = true;
        await this.#route('laptop');
        this.#options.report({ event: 'listening', address: this.address });
        options.onFirst();
        expected = false;
        withoutProcess = fallback === 'refuse' ? 'laptop' : 'app'; // where it is refused
        await this.#untilDown(signal);
      }
      if (signal.aborted) return;
      this.#listening = false;
      this.#awaySinceMs = undefined;
      await this.#route(withoutProcess);
      if (expected) this.#options.report({ event: 'waiting', for: `the command to listen on ${this.address}` });
      else {
        const answers = withoutProcess === 'app' || mirror ? 'app' : 'nobody';
        this.#options.report({ event: 'not-listening', address: this.address, answers });
      }
      expected = false;
      while (!signal.aborted && !(await this.isListening())) await pause(LISTENING_POLL_MS, signal);
    }
  }

  /** Hands new connections to the app, whatever listens. */
  async giveBack(): Promise<void> {
    await this.#route('app');
  }

  async drain(deadlineMs: number): Promise<void> {
    await this.#taker.drain(deadlineMs);
  }

  async close(): Promise<void> {
    await Promise.all([this.#taker.close(), this.#http?.close()]);
  }

  /** Resolves when nothing has listened for as long as callers are held. */
  async #untilDown(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#pause(this.#awaySinceMs === undefined ? WATCH_MS : LISTENING_POLL_MS, signal);
      if (await this.isListening()) {
        if (this.#awaySinceMs === undefined) continue;
        this.#awaySinceMs = undefined;
        if (signal.aborted) return;
        await this.#route('laptop');
        this.#options.report({ event: 'listening', address: this.address });
      } else {
        const known = this.#awaySinceMs !== undefined;
        this.#awaySinceMs ??= Date.now();
        if (!this.#holds) break;
        if (!known && !signal.aborted) await this.#hold();
        if (Date.now() - this.#awaySinceMs >= this.#options.holdMs) break;
      }
    }
  }

  /** Ends early when a caller finds the process away. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#awaySinceMs !== undefined) return await pause(ms, signal);
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await atMost(woken, ms, signal); // leaves no listener behind: callers may wake it many times a second
  }

  async #hold(): Promise<void> {
    const { report, holdMs } = this.#options;
    report({ event: 'held', address: this.address, seconds: holdMs / 1000 });
    await this.#route('held');
  }

  async #route(to: RouteTo): Promise<void> {
    this.#routedTo = to;
    await this.#options.setRoute(this.key, to);
  }

  /** Nobody waits for a copy, and a datagram that is late is worth nothing. */
  get #holds(): boolean {
    const { mirror, holdMs } = this.#options;
    return !mirror && holdMs > 0 && this.choice.protocol === 'tcp';
  }

  #createTaker(): Taker {
    const { choice, mirror, holdMs, log } = this.#options;
    const place = this.#place;
    const onAway = (): void => this.#wake?.();
    if (choice.protocol === 'udp') return new DatagramsToProcess({ open: () => place.openFlow(), log, onAway });
    if (mirror) return new CopiesToProcess({ dial: place.dial, onAway });
    const waitsUntilMs = (cameMs: number): number => {
      if (!this.#listening) return cameMs;
      return (this.#awaySinceMs ?? cameMs) + holdMs;
    };
    return new ToProcess({ dial: place.dial, log, waitsUntilMs, onAway });
  }

  #createHttpProxy(): HttpProxy {
    const { report } = this.#options;
    const { host, port, dial } = this.#place;
    return new HttpProxy({
      target: { host, port },
      dial,
      holdMs: this.#options.holdMs,
      onRequest: ({ method, path, status, ms }) => report({ event: 'request', method, path, status, ms }),
    });
  }
}
