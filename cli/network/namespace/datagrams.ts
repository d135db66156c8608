import type { Log } from '../../../src/log.ts';
import type { Egress, UdpFlow } from '../types.ts';

/** Of one command; the flow that was quiet longest gives way. */
const MAX_FLOWS = 1_024;
const IDLE_MS = 60_000;
const SWEEP_MS = 5_000;
/** A flow that closes this soon after a datagram did so because of it: nobody is there. */
const UNREACHABLE_WITHIN_MS = 3_000;

interface Flow {
  readonly way: UdpFlow;
  /** Milliseconds of performance.now(). */
  usedAt: number;
  answered: boolean;
}

/** The command's datagrams to everywhere, a flow for each pair of source and target. */
export class Datagrams {
  readonly #egress: Egress;
  readonly #log: Log;
  readonly #answer: (flow: readonly string[], datagram: Buffer) => void;
  readonly #unreachable: (flow: readonly string[]) => void;
  /** In the order of use: the first is quiet longest. */
  readonly #flows = new Map<string, Flow>();
  readonly #sweeper: NodeJS.Timeout;

  /**
   * @param answer gives the command a datagram that its target sent
   * @param unreachable gives the command an ICMP error
   */
  constructor(options: {
    egress: Egress;
    log: Log;
    answer: (flow: readonly string[], datagram: Buffer) => void;
    unreachable: (flow: readonly string[]) => void;
  }) {
    this.#egress = options.egress;
    this.#log = options.log;
    this.#answer = options.answer;
    this.#unreachable = options.unreachable;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
  }

  /** @param words source address, source port, target address, target port */
  onDatagram(words: readonly string[], payload: Buffer): void {
    const key = words.join(' ');
    const flow = this.#flows.get(key) ?? this.#open(key, words);
    if (flow === undefined) return;
    flow.usedAt = performance.now();
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    flow.way.send(Buffer.from(payload)); // a copy: the frame's bytes are reused
  }

  get size(): number {
    return this.#flows.size;
  }

  close(): void {
    clearInterval(this.#sweeper);
    for (const [key, flow] of this.#flows) this.#end(key, flow);
  }

  #open(key: string, words: readonly string[]): Flow | undefined {
    const [, , address = '', port = ''] = words;
    const oldest = this.#flows.entries().next();
    if (this.#flows.size >= MAX_FLOWS && !oldest.done) this.#end(...oldest.value);
    let way: UdpFlow;
    try {
      way = this.#egress.openUdp(address, Number(port));
    } catch (cause) {
      this.#log.debug('no way for datagrams', { address, port: Number(port), cause: String(cause) });
      this.#unreachable(words);
      return undefined;
    }
    const flow: Flow = { way, usedAt: performance.now(), answered: false };
    way.onMessage = (datagram) => {
      flow.answered = true;
      flow.usedAt = performance.now();
      this.#answer(words, datagram);
    };
    way.onClose = () => {
      this.#flows.delete(key);
      if (!flow.answered && performance.now() - flow.usedAt < UNREACHABLE_WITHIN_MS) this.#unreachable(words);
    };
    return flow;
  }

  #sweep(): void {
    for (const [key, flow] of this.#flows) {
      if (performance.now() - flow.usedAt > IDLE_MS) this.#end(key, flow);
    }
  }

  #end(key: string, flow: Flow): void {
    this.#flows.delete(key);
    flow.way.onClose = undefined;
    flow.way.onMessage = undefined;
    flow.way.close();
  }
}
