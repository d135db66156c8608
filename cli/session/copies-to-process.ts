import type { Socket } from 'node:net';
import { AbortGroup } from '../../src/abort-group.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import { TaskGroup } from '../../src/task-group.ts';
import type { Dial } from './dial.ts';

/** A copy whose last byte has come, and whose process says nothing for this long, has done what it can. */
const QUIET_MS = 5_000;
/** Connections that wait for that; the one that was quiet longest gives way. */
const MAX_QUIET = 256;

export interface CopiesOptions {
  readonly dial: Dial;
  /** The process was found not listening: the agents should be told. */
  readonly onAway: () => void;
}

/**
 * Hands copies of callers' requests or connections to the process. Whatever it answers ends here, and nothing that it does
 * is told to anybody: the caller has its answer from the app.
 */
export class CopiesToProcess {
  readonly #options: CopiesOptions;
  readonly #open = new Set<Socket>();
  /** In the order in which their copies ended. */
  readonly #quiet = new Set<Socket>();
  readonly #tasks = new TaskGroup();
  readonly #connections = new AbortGroup();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  /** Takes a copy from an agent; resets it when the process cannot be reached. */
  take(stream: MuxStream): void {
    this.#tasks.add(this.#connections.run((signal) => this.#serve(stream, signal)));
  }

  /** A copy is nothing to wait for. */
  async drain(): Promise<void> {}

  async close(): Promise<void> {
    this.#connections.abort(new Error('session ended'));
    for (const socket of this.#open) socket.destroy();
    await this.#tasks.close();
  }

  async #serve(stream: MuxStream, signal: AbortSignal): Promise<void> {
    let socket: Socket;
    try {
      socket = await this.#options.dial({ halfOpen: false, signal });
    } catch {
      this.#options.onAway(); // refused, or the session ends
      stream.refuse('refused');
      return;
    }
    if (stream.destroyed) {
      socket.destroy();
      return;
    }
    stream.accept();
    await this.#copy(stream, socket);
  }

  /** Resolves when the process's connection is closed. */
  async #copy(stream: MuxStream, socket: Socket): Promise<void> {
    this.#open.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.resume(); // the answers
    stream.pipe(socket, { end: false }); // a server may take the end of a request for a caller that has left
    stream.once('end', () => {
      socket.setTimeout(QUIET_MS, () => socket.destroySoon());
      this.#quiet.add(socket);
      const [oldest] = this.#quiet;
      if (this.#quiet.size > MAX_QUIET) oldest?.destroy();
    });
    stream.once('close', () => {
      if (!stream.readableEnded) socket.destroy(); // cut short
    });
    await new Promise<void>((resolve) => {
      socket.once('close', () => {
        this.#open.delete(socket);
        this.#quiet.delete(socket);
        stream.resetAndDestroy();
        resolve();
      });
    });
  }
}
