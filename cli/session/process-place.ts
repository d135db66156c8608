import type { Socket } from 'node:net';
import { closeAfterFailedReset } from '../../src/net/failed-reset.ts';
import type { InnerPorts } from '../network/types.ts';
import { type Dial, type DialOptions, dialAddress } from './dial.ts';
import { isListening } from './listening.ts';
import { requireFreePort } from './port-in-use.ts';

/** Programs that listen on "localhost" get ::1 alone on many systems. */
const LOOPBACK_HOSTS = ['127.0.0.1', '::1'];

/**
 * Where the process of one port is: inside, when a command that has ports of its own listens there, else on the laptop,
 * where somebody may have started it by hand.
 */
export class ProcessPlace {
  readonly port: number;
  readonly #hosts: readonly string[];
  readonly #isNamed: boolean;
  #inner: InnerPorts | undefined;
  /** What listened on the laptop before the command was started, and still does: it is not the process. */
  #stranger = false;

  /** @param to `--to`: another host, and perhaps another port */
  constructor(localPort: number, to: { readonly host: string; readonly port: number | undefined } | undefined) {
    this.port = to?.port ?? localPort;
    this.#hosts = to === undefined || to.host === 'localhost' ? LOOPBACK_HOSTS : [to.host];
    this.#isNamed = to !== undefined;
  }

  /** What stands for it in front of people. */
  get host(): string {
    return this.#hosts[0] ?? '127.0.0.1';
  }

  /** `127.0.0.1:3000`, for people and events. */
  get text(): string {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  /**
   * That a command which is to be started can listen; with `--to` the process is one that the user names.
   * @throws InterceptorError USAGE_BAD_PORT
   */
  async requireFree(): Promise<void> {
    if (!this.#isNamed) await requireFreePort(this.port, this.#hosts);
  }

  /**
   * A command is about to start.
   * @param inner where it has ports of its own: the laptop's may then be taken
   * @throws InterceptorError USAGE_BAD_PORT
   */
  async prepare(inner: InnerPorts | undefined): Promise<void> {
    if (inner === undefined) return await this.requireFree();
    if (this.host === '127.0.0.1') this.#inner = inner; // what `--to` names elsewhere stays there
    this.#stranger = !this.#isNamed && (await this.#listensOutside());
  }

  /** Whether the process listens now. */
  async isListening(): Promise<boolean> {
    const inside = this.#inner?.listensOn(this.port) === true;
    if (inside && !this.#stranger) return true;
    const outside = await this.#listensOutside();
    if (!outside) this.#stranger = false;
    return inside || (outside && !this.#stranger);
  }

  readonly dial: Dial = async (options) => {
    const inside = this.#inner?.listensOn(this.port) === true;
    try {
      return inside ? await this.#dialInside(options) : await this.#dialOutside(options);
    } catch (error) {
      options.signal.throwIfAborted();
      if (this.#inner === undefined) throw error;
      return inside ? await this.#dialOutside(options) : await this.#dialInside(options); // what we know may be a moment old
    }
  };

  async #dialInside({ halfOpen, signal }: DialOptions): Promise<Socket> {
    if (this.#inner === undefined) throw refused();
    const socket = await this.#inner.connect(this.port);
    closeAfterFailedReset(socket);
    if (signal.aborted) {
      socket.destroy();
      throw signal.reason;
    }
    socket.allowHalfOpen = halfOpen;
    return socket.setNoDelay(true).setKeepAlive(true);
  }

  async #dialOutside(options: DialOptions): Promise<Socket> {
    let failure: unknown = refused();
    if (this.#stranger) throw failure;
    for (const host of this.#outsideHosts) {
      try {
        return await dialAddress({ host, port: this.port })(options);
      } catch (error) {
        options.signal.throwIfAborted();
        failure = error;
      }
    }
    throw failure;
  }

  async #listensOutside(): Promise<boolean> {
    for (const host of this.#outsideHosts) if (await isListening({ host, port: this.port })) return true;
    return false;
  }

  /** Without our own mirrors: one that outlives its listener for a moment would take a connection and reset it. */
  get #outsideHosts(): readonly string[] {
    return this.#hosts.filter((host) => this.#inner?.mirrors(host, this.port) !== true);
  }
}

function refused(): Error {
  return Object.assign(new Error('nothing listens'), { code: 'ECONNREFUSED' });
}
