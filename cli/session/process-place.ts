import type { Socket } from 'node:net';
import { closeAfterFailedReset } from '../../src/net/failed-reset.ts';
import { openLaptopFlow } from '../network/egress/udp-flows.ts';
import type { InnerPorts, UdpFlow } from '../network/types.ts';
import { type Dial, type DialOptions, dialAddress } from './dial.ts';
import { isBound, isListening } from './listening.ts';
import { requireFreePort } from './port-in-use.ts';

/** Programs that listen on "localhost" get ::1 alone on many systems. */
const LOOPBACK_HOSTS = ['127.0.0.1', '::1'];

/**
 * Where the process of one port is: inside, when a command that has ports of its own listens there, else on the laptop,
 * where somebody may have started it by hand.
 */
export class ProcessPlace {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly #hosts: readonly string[];
  readonly #isNamed: boolean;
  #inner: InnerPorts | undefined;
  /** What listened on the laptop before the command was started, and still does: it is not the process. */
  #stranger = false;

  /** @param to `--to`: another host, and perhaps another port */
  constructor(
    localPort: number,
    to: { readonly host: string; readonly port: number | undefined } | undefined,
    protocol: 'tcp' | 'udp' = 'tcp',
  ) {
    this.protocol = protocol;
    this.port = to?.port ?? localPort;
    this.#hosts = to === undefined || to.host === 'localhost' ? LOOPBACK_HOSTS : [to.host];
    this.#isNamed = to !== undefined;
  }

  /** What stands for it in front of people. */
  get host(): string {
    return this.#hosts[0] ?? '127.0.0.1';
  }

  /** `127.0.0.1:3000`, or `127.0.0.1:53/udp`, for people and events. */
  get text(): string {
    const address = this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
    return this.protocol === 'udp' ? `${address}/udp` : address;
  }

  /**
   * That a command which is to be started can listen; with `--to` the process is one that the user names.
   * @throws InterceptorError USAGE_BAD_PORT
   */
  async requireFree(): Promise<void> {
    if (!this.#isNamed) await requireFreePort(this.port, this.#hosts, this.protocol);
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
    const inside = this.#listensInside;
    if (inside && !this.#stranger) return true;
    const outside = await this.#listensOutside();
    if (!outside) this.#stranger = false;
    return inside || (outside && !this.#stranger);
  }

  readonly dial: Dial = async (options) => {
    const inside = this.#listensInside;
    try {
      return inside ? await this.#dialInside(options) : await this.#dialOutside(options);
    } catch (error) {
      options.signal.throwIfAborted();
      if (this.#inner === undefined) throw error;
      return inside ? await this.#dialOutside(options) : await this.#dialInside(options); // what we know may be a moment old
    }
  };

  /**
   * A peer of the process's UDP socket.
   * @throws Error ECONNREFUSED, EMFILE
   */
  async openFlow(): Promise<UdpFlow> {
    if (this.#inner !== undefined && this.#listensInside) return this.#inner.openUdp(this.port);
    const bound = this.#stranger ? undefined : await this.#hostOutside();
    if (bound === undefined) throw refused();
    return openLaptopFlow(bound, this.port);
  }

  get #listensInside(): boolean {
    return this.#inner?.listensOn(this.port, this.protocol) === true;
  }

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
    return (await this.#hostOutside()) !== undefined;
  }

  async #hostOutside(): Promise<string | undefined> {
    const listens = this.protocol === 'udp' ? isBound : isListening;
    for (const host of this.#outsideHosts) if (await listens({ host, port: this.port })) return host;
    return undefined;
  }

  /** Without our own mirrors: one that outlives its listener for a moment would take a connection and reset it. */
  get #outsideHosts(): readonly string[] {
    return this.#hosts.filter((host) => this.#inner?.mirrors(host, this.port, this.protocol) !== true);
  }
}

function refused(): Error {
  return Object.assign(new Error('nothing listens'), { code: 'ECONNREFUSED' });
}
