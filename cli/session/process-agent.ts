import { Agent, type AgentOptions, type ClientRequestArgs } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { systemErrorCode } from '../../src/errors.ts';
import type { Dial } from './dial.ts';

/** How often a process that does not listen is dialled while a request waits for it. */
const HOLD_POLL_MS = 50;

/** Nothing took a connection within the time a request may wait; the message says where, for how long and why. */
export class ProcessUnreachable extends Error {}

/** What a request tells the agent about itself, beside http.request's own options. */
export interface ProcessRequestOptions extends ClientRequestArgs {
  /** True once nobody waits for the answer any more: dialling stops. */
  readonly isGone?: () => boolean;
  /**
   * The connection may be closed in one direction only (after an upgrade). Never for kept connections: a half-open one
   * whose other side the process has closed would stay in the pool.
   */
  readonly halfOpen?: boolean;
}

/**
 * Keeps connections to the process and, when it does not listen (a watcher restarts it), dials again until it does.
 * A request only sees a slower connect; after `holdMs` it fails with ProcessUnreachable.
 */
export class ProcessAgent extends Agent {
  readonly #holdMs: number;
  readonly #host: string;
  readonly #port: number;
  readonly #dial: Dial;
  readonly #freeSince = new WeakMap<Duplex, number>();
  /** Ends one dial, waiting or under way. */
  readonly #dials = new Set<() => void>();

  constructor(target: { host: string; port: number; dial: Dial }, holdMs: number, options: AgentOptions) {
    super(options);
    this.#host = target.host;
    this.#port = target.port;
    this.#dial = target.dial;
    this.#holdMs = holdMs;
    this.on('free', (socket: Duplex) => this.#freeSince.set(socket, performance.now()));
  }

  override createConnection(
    options: ProcessRequestOptions,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    const giveUpAt = performance.now() + this.#holdMs;
    const done = (error: Error | null, socket?: Socket): void => {
      this.#dials.delete(cancel);
      // Node always passes a callback to an agent, and takes an error without a socket.
      (callback as (error: Error | null, socket?: Socket) => void)(error, socket);
    };
    let timer: NodeJS.Timeout | undefined;
    let dialling = new AbortController();
    const cancel = (): void => {
      clearTimeout(timer);
      done(this.#unreachable(new Error('no longer wanted')));
      dialling.abort(new Error('no longer wanted'));
    };
    const attempt = (): void => {
      if (options.isGone?.() === true) {
        cancel();
        return;
      }
      const own = new AbortController();
      dialling = own;
      const remainingMs = Math.max(giveUpAt - performance.now(), HOLD_POLL_MS);
      timer = setTimeout(() => own.abort(new Error('no answer to connect')), remainingMs);
      const connected = (socket: Socket): void => {
        clearTimeout(timer);
        if (this.#dials.has(cancel)) done(null, socket);
        else socket.destroy();
      };
      const failed = (cause: Error): void => {
        clearTimeout(timer);
        if (!this.#dials.has(cancel)) return; // cancelled
        if (performance.now() + HOLD_POLL_MS <= giveUpAt) timer = setTimeout(attempt, HOLD_POLL_MS);
        else done(this.#unreachable(cause));
      };
      this.#dial({ halfOpen: options.halfOpen === true, signal: own.signal }).then(connected, failed);
    };
    this.#dials.add(cancel);
    attempt();
    return undefined;
  }

  /** Closes kept connections that nobody used for `ms`: the process may be closing them just now. */
  dropIdle(ms: number): void {
    const before = performance.now() - ms;
    for (const sockets of Object.values(this.freeSockets)) {
      for (const socket of sockets ?? []) if ((this.#freeSince.get(socket) ?? 0) <= before) socket.destroy();
    }
  }

  /** Closes all connections and ends all dialling. */
  override destroy(): void {
    for (const cancel of [...this.#dials]) cancel();
    super.destroy();
  }

  #unreachable(cause: Error): ProcessUnreachable {
    const why = systemErrorCode(cause) ?? cause.message;
    const waited = this.#holdMs >= HOLD_POLL_MS ? `, waited ${this.#holdMs / 1000} s` : '';
    return new ProcessUnreachable(`nothing listens on ${this.#host} port ${this.#port} (${why}${waited})`, { cause });
  }
}
