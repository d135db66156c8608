import type { Log } from '../../src/log.ts';
import type { MuxStream } from '../../src/mux/stream.ts';
import { LengthPrefixReader, withLength } from '../../src/net/length-prefix.ts';
import { TaskGroup } from '../../src/task-group.ts';
import type { UdpFlow } from '../network/types.ts';

/** Answers of one flow that wait for the tunnel; what finds no room is dropped, as a network does. */
const MAX_UNSENT_BYTES = 512 * 1024;

export interface DatagramsOptions {
  /** A peer of the process's socket. @throws Error ECONNREFUSED: it is not bound */
  readonly open: () => Promise<UdpFlow>;
  readonly log: Log;
  /** The process was found away: the agents should be told. */
  readonly onAway: () => void;
}

/** Hands the callers' datagrams of one UDP port to the process: each caller is a peer of its own there. */
export class DatagramsToProcess {
  readonly #options: DatagramsOptions;
  readonly #flows = new Map<MuxStream, UdpFlow>();
  readonly #tasks = new TaskGroup();
  #closed = false;

  constructor(options: DatagramsOptions) {
    this.#options = options;
  }

  get openConnections(): number {
    return this.#flows.size;
  }

  /** Takes a caller's flow from an agent; refuses it (the app answers) while the process is not bound. */
  take(stream: MuxStream): void {
    this.#tasks.add(this.#serve(stream));
  }

  /** Datagrams have no end that could be waited for. */
  async drain(): Promise<void> {}

  /** Ends all flows. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stream of this.#flows.keys()) stream.resetAndDestroy();
    await this.#tasks.close();
  }

  async #serve(stream: MuxStream): Promise<void> {
    let flow: UdpFlow;
    try {
      flow = await this.#options.open();
    } catch (error) {
      this.#options.log.debug('datagrams refused', { reason: String(error) });
      this.#options.onAway();
      stream.refuse('refused');
      return;
    }
    if (stream.destroyed || this.#closed) {
      flow.close();
      stream.resetAndDestroy('gone');
      return;
    }
    this.#flows.set(stream, flow);
    this.#join(stream, flow);
  }

  #join(stream: MuxStream, flow: UdpFlow): void {
    const reader = new LengthPrefixReader();
    flow.onMessage = (datagram) => {
      const fits = stream.writableLength + datagram.byteLength <= MAX_UNSENT_BYTES;
      if (fits && !stream.destroyed) stream.write(withLength(datagram));
    };
    flow.onClose = () => {
      this.#options.onAway(); // ECONNREFUSED, or idle for long
      stream.resetAndDestroy();
    };
    stream.on('data', (chunk: Buffer) => {
      for (const datagram of reader.push(chunk)) flow.send(datagram);
    });
    stream.once('end', () => stream.end());
    stream.once('close', () => {
      this.#flows.delete(stream);
      flow.onClose = undefined;
      flow.close();
    });
    stream.accept();
  }
}
