import type { Server, Socket } from 'node:net';
import { AbortGroup } from '../../../src/abort-group.ts';
import { systemErrorCode } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import { splice } from '../../../src/net/splice.ts';
import type { Egress, Outgoing } from '../types.ts';

/** What becomes of a connection that the command asked for. */
export type Verdict = 'open' | 'refused' | 'unreachable' | 'drop';

/** Connections between the command's SYN and our answer to it. */
const MAX_DIALLING = 4_096;
/** A connection that is there and that the command does not want any more: its own end gave up while we dialled. */
const UNWANTED_AFTER_MS = 10_000;

/** The command's connect(2) ends when ours has: it holds the SYN until the verdict, and hands the dialled connection over. */
export class Gate {
  readonly #egress: Egress;
  readonly #log: Log;
  readonly #answer: (flow: string, verdict: Verdict) => void;
  readonly #refuses: (address: string, port: number) => boolean;
  readonly #dialling = new Set<string>();
  readonly #dialled = new Map<string, { stream: Outgoing; timer: NodeJS.Timeout }>();
  readonly #connections = new AbortGroup();

  /**
   * @param answer the helper sends the SYN on, or the error to the command
   * @param refuses destinations that lead back to ourselves
   */
  constructor(options: {
    egress: Egress;
    log: Log;
    answer: (flow: string, verdict: Verdict) => void;
    refuses: (address: string, port: number) => boolean;
  }) {
    this.#egress = options.egress;
    this.#log = options.log;
    this.#answer = options.answer;
    this.#refuses = options.refuses;
  }

  /** Takes connections whose localAddress and localPort are the destination (TPROXY). */
  serve(acceptor: Server): void {
    acceptor.on('connection', (socket: Socket) => this.#accept(socket));
    acceptor.on('error', (cause) => this.#log.error('cannot accept from the namespace', { cause: cause.message }));
  }

  /** @param flow source address, source port, target address, target port */
  onSyn(flow: readonly string[]): void {
    const key = flow.join(' ');
    if (this.#dialling.has(key)) return;
    if (this.#dialled.has(key)) {
      this.#answer(key, 'open'); // the listener's queue was full: the command asks again
      return;
    }
    const [, , address = '', port = ''] = flow;
    if (this.#refuses(address, Number(port))) this.#answer(key, 'refused');
    else if (this.#dialling.size >= MAX_DIALLING) this.#answer(key, 'unreachable');
    else void this.#dial(key, address, Number(port));
  }

  async #dial(key: string, address: string, port: number): Promise<void> {
    this.#dialling.add(key);
    try {
      const stream = await this.#connections.run((signal) => this.#egress.dialTcp(address, port, signal));
      stream.on('error', () => {}); // until it is joined
      const timer = setTimeout(() => {
        this.#dialled.delete(key);
        stream.resetAndDestroy();
      }, UNWANTED_AFTER_MS);
      this.#dialled.set(key, { stream, timer });
      this.#answer(key, 'open');
    } catch (cause) {
      const verdict = verdictOf(systemErrorCode(cause));
      this.#log.debug('connection not made', { address, port, verdict });
      this.#answer(key, verdict);
    } finally {
      this.#dialling.delete(key);
    }
  }

  #accept(socket: Socket): void {
    const key = `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`;
    socket.allowHalfOpen = true; // Node gives servers that were handed over no such option
    socket.on('error', () => {});
    const found = this.#dialled.get(key);
    if (found === undefined) {
      socket.resetAndDestroy(); // it came too late
      return;
    }
    this.#dialled.delete(key);
    clearTimeout(found.timer);
    socket.setNoDelay(true);
    this.#connections.run((signal) => splice(socket, found.stream, signal)).catch(() => {}); // one end was reset, and so was the other
  }

  /** Resets what is open and stops what is being dialled. */
  close(): void {
    this.#connections.abort(new Error('the session has ended'));
    for (const { stream, timer } of this.#dialled.values()) {
      clearTimeout(timer);
      stream.resetAndDestroy();
    }
    this.#dialled.clear();
  }
}

/** A time-out is no answer: the command's own kernel repeats the SYN and decides when it was long enough. */
export function verdictOf(code: string | undefined): Verdict {
  switch (code) {
    case 'ECONNREFUSED':
    case 'ECONNRESET':
      return 'refused';
    case 'ETIMEDOUT':
      return 'drop';
    default:
      return 'unreachable';
  }
}
