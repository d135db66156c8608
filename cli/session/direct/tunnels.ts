import { addAbortListener, once } from 'node:events';
import { connect } from 'node:net';
import { AbortGroup } from '../../../src/abort-group.ts';
import type { Log } from '../../../src/log.ts';
import { Mux } from '../../../src/mux/mux.ts';
import type { MuxStream } from '../../../src/mux/stream.ts';
import { SocketTransport } from '../../../src/net/transport/socket.ts';

const CONNECT_DEADLINE_MS = 2_000;

/** One connection to each session that was called, kept for the next call. */
export class PeerTunnels {
  readonly #log: Log;
  readonly #tunnels = new Map<string, Promise<Mux>>();
  readonly #opening = new AbortGroup();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Opens a connection to the process of the session that listens there.
   * @returns once its process is connected
   * @throws StreamResetError, or an Error of connect(2): the session is gone, not ready, or its process does not listen; the
   * signal's reason
   */
  async open(socketPath: string, appPort: number, signal: AbortSignal): Promise<MuxStream> {
    const mux = await this.#tunnel(socketPath);
    signal.throwIfAborted();
    const stream = mux.open({ kind: 'incoming', host: '', port: appPort });
    using _ = addAbortListener(signal, () => stream.resetAndDestroy());
    await stream.opened;
    return stream;
  }

  async close(): Promise<void> {
    this.#opening.abort(new Error('session ended'));
    const tunnels = await Promise.allSettled(this.#tunnels.values());
    await Promise.all(tunnels.flatMap((tunnel) => (tunnel.status === 'fulfilled' ? [tunnel.value.close()] : [])));
  }

  #tunnel(path: string): Promise<Mux> {
    const known = this.#tunnels.get(path);
    if (known !== undefined) return known;
    const made = this.#opening.run((signal) => this.#connect(path, signal));
    this.#tunnels.set(path, made);
    const forget = (): void => {
      if (this.#tunnels.get(path) === made) this.#tunnels.delete(path);
    };
    made.then((mux) => mux.closed.then(forget), forget);
    return made;
  }

  async #connect(path: string, signal: AbortSignal): Promise<Mux> {
    const socket = connect({ path, allowHalfOpen: true });
    try {
      await once(socket, 'connect', { signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_DEADLINE_MS)]) });
    } catch (error) {
      socket.on('error', () => {}).destroy();
      throw error;
    }
    return new Mux(new SocketTransport(socket), {
      side: 'agent', // what an agent does, too: it opens streams for callers
      onOpen: (stream) => stream.refuse('refused'),
      onControl: () => {},
      log: this.#log,
    });
  }
}
