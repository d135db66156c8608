import { systemErrorCode } from '../../../src/errors.ts';
import type { Log } from '../../../src/log.ts';
import type { Egress } from '../types.ts';
import { type Listener, listenTcp } from './tcp-listener.ts';
import { listenUdp } from './udp-listener.ts';

/** One port to listen on, and where it leads. */
export interface WantedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
  /** Host in the cluster. */
  readonly host: string;
  /** For messages: `shop/api`. */
  readonly service: string;
}

export interface ListenersOptions {
  readonly egress: Egress;
  readonly log: Log;
  /** A port that cannot be had, once for each port number and reason. */
  readonly onUnavailable: (wanted: WantedPort, code: string) => void;
}

export const MAX_LISTENERS = 16_384;
/** A port that was taken is tried again this often: the program that held it may have ended. */
const RETRY_MS = 5_000;

/** Keeps exactly the wanted ports open. */
export class Listeners {
  readonly #options: ListenersOptions;
  readonly #open = new Map<string, Listener>();
  readonly #told = new Set<string>();
  #wanted = new Map<string, WantedPort>();
  #turn: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** @returns when all that can be open are, and what is wanted no more is closed */
  async set(wanted: readonly WantedPort[]): Promise<void> {
    this.#wanted = new Map(wanted.slice(0, MAX_LISTENERS).map((one) => [keyOf(one), one]));
    await this.#reconcile();
  }

  #reconcile(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#step());
    return this.#turn;
  }

  async #step(): Promise<void> {
    clearTimeout(this.#retry);
    const wanted = this.#closed ? new Map<string, WantedPort>() : this.#wanted;
    const closing: Promise<void>[] = [];
    for (const [key, listener] of this.#open) {
      const one = wanted.get(key);
      if (one !== undefined) listener.host = one.host;
      else {
        this.#open.delete(key);
        closing.push(listener.close());
      }
    }
    await Promise.all(closing);
    const missing = [...wanted].filter(([key]) => !this.#open.has(key));
    const opened = await Promise.all(missing.map(([key, one]) => this.#listen(key, one)));
    if (opened.includes(false) && !this.#closed) {
      this.#retry = setTimeout(() => void this.#reconcile(), RETRY_MS);
      this.#retry.unref();
    }
  }

  async #listen(key: string, one: WantedPort): Promise<boolean> {
    const listen = one.protocol === 'tcp' ? listenTcp : listenUdp;
    try {
      const { address, port, host } = one;
      this.#open.set(key, await listen({ address, port, host, egress: this.#options.egress, log: this.#options.log }));
      return true;
    } catch (error) {
      const code = systemErrorCode(error) ?? 'unknown';
      const about = `${one.protocol} ${one.port} ${code}`;
      if (!this.#told.has(about)) this.#options.onUnavailable(one, code);
      this.#told.add(about);
      return false;
    }
  }

  get size(): number {
    return this.#open.size;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#reconcile();
  }
}

function keyOf({ protocol, address, port }: WantedPort): string {
  return `${protocol} ${address} ${port}`;
}
