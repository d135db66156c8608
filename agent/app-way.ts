import { once } from 'node:events';
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Log } from '../src/log.ts';
import { APP_CONNECT_TIMEOUT_MS, SOCKET_HIGH_WATER_BYTES } from './limits.ts';

/** Told to callers where no app is. */
export const APP_IS_REPLACED =
  'the app is not in this pod while it is intercepted with --replace, and no laptop answers';

/** Dials the app. */
export class AppWay {
  readonly #podIp: string;
  readonly #log: Log;

  /** @param podIp not 127.0.0.1: an app that trusts localhost must not be opened to callers */
  constructor(podIp: string, log: Log) {
    this.#podIp = podIp;
    this.#log = log;
  }

  /** A socket on its way; half-open. Its failure is logged. */
  dial(appPort: number): Socket {
    const options: TcpNetConnectOpts & { highWaterMark: number } = {
      host: this.#podIp,
      port: appPort,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      highWaterMark: SOCKET_HIGH_WATER_BYTES,
    };
    const app = connect(options);
    // With an error: without one only 'close' follows, for which connect() does not wait.
    app.setTimeout(APP_CONNECT_TIMEOUT_MS, () => app.destroy(new Error('the app takes no connection')));
    app.once('connect', () => app.setTimeout(0));
    app.once('error', (failure) => this.#log.debug('app connection failed', { appPort, reason: failure.message }));
    return app;
  }

  /** @throws the system's error; `signal`'s */
  async connect(appPort: number, signal: AbortSignal): Promise<Socket> {
    const app = this.dial(appPort);
    try {
      await once(app, 'connect', { signal });
      return app;
    } catch (failure) {
      app.destroy();
      throw failure;
    }
  }
}
