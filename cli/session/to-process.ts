import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { AbortGroup } from '../../src/abort-group.ts';
import type { Log } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import { splice } from '../../src/net/splice.ts';
import { TaskGroup } from '../../src/task-group.ts';
import type { Dial } from './dial.ts';

const RESTART_POLL_MS = 25;
/** A connection that moved no byte for this long is ended while draining, as a server's keep-alive timeout would. */
const IDLE_MS = 500;
const DRAIN_POLL_MS = 100;

export interface ToProcessOptions {
  readonly dial: Dial;
  readonly log: Log;
  /** Until when (as Date.now()) a caller that came at `cameMs` waits for a process that does not listen: a watcher restarting it. */
  readonly waitsUntilMs: (cameMs: number) => number;
  /** The process was found not listening: the agents should be told. */
  readonly onAway: () => void;
}

interface Splice {
  readonly stream: MuxStream;
  readonly socket: Socket;
  bytes: number;
  quietSince: number;
}

/** Hands the callers' streams of one port to the process: bytes, untouched, both half-closes and resets kept. */
export class ToProcess {
  readonly #options: ToProcessOptions;
  readonly #splices = new Set<Splice>();
  readonly #tasks = new TaskGroup();
  readonly #connections = new AbortGroup();

  constructor(options: ToProcessOptions) {
    this.#options = options;
  }

  get openConnections(): number {
    return this.#splices.size;
  }

  /** Takes a stream the agent opened; refuses it (the app answers) when the process cannot be reached. */
  take(stream: MuxStream): void {
    this.#tasks.add(this.#connections.run((signal) => this.#serve(stream, signal)));
  }

  async #serve(stream: MuxStream, signal: AbortSignal): Promise<void> {
    stream.on('error', () => {}); // told by splice, or the caller is gone before the process was reached
    const socket = await this.#dial(stream, signal);
    if (socket === undefined) {
      stream.refuse('refused');
      return;
    }
    if (stream.destroyed) {
      socket.resetAndDestroy();
      return;
    }
    stream.accept();
    const entry: Splice = { stream, socket, bytes: 0, quietSince: Date.now() };
    this.#splices.add(entry);
    try {
      await splice(stream, socket, signal);
    } catch (error) {
      this.#options.log.debug('connection ended early', { reason: String(error) });
    } finally {
      this.#splices.delete(entry);
    }
  }

  /** @returns the socket, or undefined when nothing listens there (any more) */
  async #dial(stream: MuxStream, signal: AbortSignal): Promise<Socket | undefined> {
    const { dial, waitsUntilMs, onAway } = this.#options;
    const cameMs = Date.now();
    for (;;) {
      try {
        return await dial({ halfOpen: true, signal });
      } catch {
        onAway(); // refused
        if (Date.now() >= waitsUntilMs(cameMs) || stream.destroyed || signal.aborted) return undefined;
      }
      await delay(RESTART_POLL_MS);
    }
  }

  /** Ends idle connections and waits for the busy ones, at most `deadlineMs`; then resets what is left. */
  async drain(deadlineMs: number): Promise<void> {
    const endAt = Date.now() + deadlineMs;
    while (this.#splices.size > 0 && Date.now() < endAt) {
      for (const entry of this.#splices) this.#endIfIdle(entry);
      await delay(DRAIN_POLL_MS);
    }
  }

  #endIfIdle(entry: Splice): void {
    const bytes = entry.socket.bytesRead + entry.socket.bytesWritten;
    if (bytes !== entry.bytes) {
      entry.bytes = bytes;
      entry.quietSince = Date.now();
    } else if (Date.now() - entry.quietSince >= IDLE_MS) {
      entry.stream.end();
      entry.socket.end();
    }
  }

  /** Resets what is open and waits until it is gone. */
  async close(): Promise<void> {
    this.#connections.abort(new Error('session ended'));
    await this.#tasks.close();
  }
}
