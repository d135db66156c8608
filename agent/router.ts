import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { errorText } from '../src/errors.ts';
import type { Log } from '../src/log.ts';
import type { OpenInfo } from '../src/mux/mux.ts';
import { Connection, type ConnectionRoute, type LaptopStream, reset } from './connection.ts';
import { APP_CONNECT_TIMEOUT_MS, MAX_CONNECTIONS, SOCKET_HIGH_WATER_BYTES } from './limits.ts';
import type { ArmedProofs } from './proof.ts';

/** A tunnel as the router uses it; a Mux is one. */
export interface LaptopCarrier {
  open(info: OpenInfo): LaptopStream;
}

export interface RouterOptions {
  /** Where the app listens. The pod's address, not 127.0.0.1: an app that trusts localhost must not be opened to callers. */
  readonly podIp: string;
  /** The carrier that answers an app port now; undefined: the app does. */
  readonly laptopFor: (appPort: number) => LaptopCarrier | undefined;
  readonly proofs: ArmedProofs;
  readonly log: Log;
  readonly maxConnections?: number;
}

/** Gives each caller of a route port to the laptop or to the app, and knows all connections under way. */
export class Router {
  readonly #connections = new Set<Connection>();
  readonly #options: RouterOptions;
  readonly #maxConnections: number;
  #limitLogged = false;
  #onIdle: (() => void) | undefined;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  /** Takes over a caller of `appPort`. One that is one too many is reset. */
  accept(caller: Socket, appPort: number): void {
    if (this.#connections.size >= this.#maxConnections) {
      if (!this.#limitLogged) this.#options.log.warn('too many connections, new ones are reset', { appPort });
      this.#limitLogged = true;
      reset(caller.on('error', () => {})); // ECONNRESET of a caller that was faster
      return;
    }
    this.#connections.add(new Connection(caller, this.#routeOf(appPort)));
  }

  /** Resets all connections and waits until they are closed. */
  async close(): Promise<void> {
    if (this.#connections.size === 0) return;
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    for (const connection of this.#connections) connection.reset();
    await idle;
  }

  #routeOf(appPort: number): ConnectionRoute {
    const { laptopFor, proofs, log } = this.#options;
    return {
      proofGate: proofs.gate(appPort),
      openLaptop: (host) => {
        const carrier = laptopFor(appPort);
        if (carrier === undefined) return undefined;
        try {
          return carrier.open({ kind: 'incoming', port: appPort, host });
        } catch (failure) {
          log.debug('no stream to the laptop, the app answers', { appPort, reason: errorText(failure) });
          return undefined;
        }
      },
      dialApp: () => this.#dialApp(appPort),
      onFallBack: () => log.debug('the laptop did not take a connection, the app answers', { appPort }),
      onDone: (connection) => {
        this.#connections.delete(connection);
        if (this.#connections.size < this.#maxConnections / 2) this.#limitLogged = false;
        if (this.#connections.size === 0) this.#onIdle?.();
      },
    };
  }

  #dialApp(appPort: number): Socket {
    const { podIp, log } = this.#options;
    const options: TcpNetConnectOpts & { highWaterMark: number } = {
      host: podIp,
      port: appPort,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      highWaterMark: SOCKET_HIGH_WATER_BYTES,
    };
    const app = connect(options);
    app.setTimeout(APP_CONNECT_TIMEOUT_MS, () => app.destroy());
    app.once('connect', () => app.setTimeout(0));
    app.once('error', (failure) => log.debug('app connection failed', { appPort, reason: failure.message }));
    return app;
  }
}
