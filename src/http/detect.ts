import { confirmEnd } from '../net/confirm-end.ts';
import { closeAfterFailedReset } from '../net/failed-reset.ts';
import { type FirstBytes, judgeFirstBytes } from './first-bytes.ts';
import { type H1Options, routeH1 } from './h1/connection.ts';
import { DRAIN_IDLE_MS } from './h1/limits.ts';
import { routeH2 } from './h2/router.ts';
import { upgradeToH2c } from './h2/upgrade.ts';
import { readUntil } from './read-until.ts';
import type { Answerer, HttpRoutes, Resettable } from './routing.ts';
import { type Encrypt, tlsAnswerer, tlsRoutes } from './tls-routes.ts';

/** A caller that says nothing for so long may wait for the app to speak first, as with MySQL, SMTP or SSH. */
const SILENT_MS = 250;
const NOTHING = Buffer.alloc(0);

/** What a connection on a filtered port is read with. */
export interface HttpOptions extends Pick<H1Options, 'signal' | 'draining' | 'log' | 'meter'> {
  /**
   * The app: who speaks no HTTP goes there. What decide() names with the same id is asked whether it speaks HTTP/2 in clear text
   * (once a minute for each object, so name the same one for every caller).
   */
  readonly app: Answerer;
  /** Ends TLS of callers and begins it anew towards who answers (src/net/tls.ts); without it TLS goes to the app as it came. */
  readonly tls?: TlsEnding;
  /** Who is asked what callers may speak in TLS, once a minute for each object; `app` where it is left out. */
  readonly alpnOf?: Answerer;
  /**
   * Takes a connection that is no HTTP: its bytes are the app's. `caller` is paused, `first` was read from it and comes before
   * what it holds; `dialApp` connects to the app (TLS where the caller's was ended here), to be called once.
   */
  passOn(caller: Resettable, first: Buffer, speaks: 'tls' | 'other', dialApp: DialApp): void;
}

export type DialApp = (signal: AbortSignal) => Promise<Resettable>;

export interface TlsEnding {
  /**
   * The handshake with a caller of whom `first` was read already, who is offered what `app` speaks.
   * @throws why it failed; the caller is closed then
   */
  accept(caller: Resettable, first: Buffer, app: Answerer): Promise<PlainCaller>;
}

/** A caller whose TLS was ended. */
export interface PlainCaller {
  readonly caller: Resettable;
  /** What ALPN chose, if it was used. */
  readonly protocol: 'h2' | 'http/1.1' | undefined;
  /** TLS towards who answers, with the caller's server name and ALPN protocol. */
  readonly encrypt: Encrypt;
}

/**
 * Reads what a caller of a filtered port says first and routes its requests: HTTP/1.1, HTTP/2 in clear text, either in TLS when
 * `options.tls` is given; all else is passed on, a caller too for whom the app speaks first. Takes the caller over: it must be
 * half-open and nobody else may read it.
 * @returns resolves when the caller's connection is closed, or was passed on; never rejects
 */
export async function routeHttp(caller: Resettable, routes: HttpRoutes, options: HttpOptions): Promise<void> {
  closeAfterFailedReset(caller);
  const { app } = options;
  const early = new EarlyApp(app);
  const { bytes, speaks } = await firstBytes(caller, early, options.draining);
  if (caller.destroyed || (bytes.byteLength === 0 && !early.hasSpoken)) {
    early.drop();
    if (!caller.destroyed) await endCaller(caller);
    return;
  }
  switch (speaks) {
    case 'other':
      options.passOn(caller, bytes, 'other', (signal) => early.connect(signal));
      return;
    case 'tls':
      early.drop();
      if (options.tls === undefined) options.passOn(caller, bytes, 'tls', (signal) => app.connect(signal));
      else await routeTls(options.tls, caller, bytes, routes, options);
      return;
    case 'h2':
      early.drop();
      await routeH2(caller, bytes, routes, options);
      return;
    case 'http1':
      early.drop();
      await routeH1(caller, bytes, routes, {
        ...options,
        onH2cUpgrade: (upgrade) => upgradeToH2c(upgrade, app, routes, options),
      });
      return;
    default:
      return speaks satisfies never;
  }
}

async function routeTls(
  tls: TlsEnding,
  caller: Resettable,
  first: Buffer,
  routes: HttpRoutes,
  options: HttpOptions,
): Promise<void> {
  let plain: PlainCaller;
  try {
    plain = await tls.accept(caller, first, options.alpnOf ?? options.app);
  } catch {
    return; // the caller had its alert
  }
  const { encrypt } = plain;
  const inside = tlsRoutes(routes, encrypt);
  const { tls: _, ...rest } = options;
  const app = tlsAnswerer(options.app, encrypt);
  if (plain.protocol === 'h2') await routeH2(plain.caller, NOTHING, inside, options);
  else await routeHttp(plain.caller, inside, { ...rest, app });
}

/** A caller that asked nothing, as a port check does: the app need not know of it. */
async function endCaller(caller: Resettable): Promise<void> {
  caller.end();
  caller.resume();
  await new Promise<void>((resolve) => caller.once('close', () => resolve()));
}

/** Reads until it is clear what the caller speaks; it is paused then. No bytes: it asks nothing, or the app speaks first. */
function firstBytes(
  caller: Resettable,
  early: EarlyApp,
  draining: AbortSignal | undefined,
): Promise<{ bytes: Buffer; speaks: Exclude<FirstBytes, 'wait'> }> {
  return new Promise((resolve) => {
    let bytes: Buffer = NOTHING;
    const decide = (speaks: FirstBytes): void => {
      if (speaks === 'wait') return;
      clearTimeout(timer);
      stop();
      clearTimeout(drainTimer);
      draining?.removeEventListener('abort', drain);
      early.stopListening();
      resolve({ bytes, speaks });
    };
    const read = (chunk: Buffer): void => {
      bytes = bytes.byteLength === 0 ? chunk : Buffer.concat([bytes, chunk]);
      decide(judgeFirstBytes(bytes));
    };
    const ended = (): void => confirmEnd(caller, () => decide(judgeFirstBytes(bytes, true)));
    const closed = (): void => {
      caller.destroy();
      decide('other');
    };
    // Not at once: its first request may be on its way.
    let drainTimer: NodeJS.Timeout | undefined;
    const drain = (): void => {
      drainTimer = setTimeout(closed, DRAIN_IDLE_MS);
    };
    const silent = (): void => {
      if (bytes.byteLength > 0) decide(judgeFirstBytes(bytes, true));
      else early.listen(() => decide('other'));
    };
    const timer = setTimeout(silent, SILENT_MS);
    if (draining?.aborted === true) drain();
    else draining?.addEventListener('abort', drain, { once: true });
    const stop = readUntil(caller, { data: read, end: ended, close: closed });
  });
}

/** A connection to the app made to hear whether it speaks first. */
class EarlyApp {
  readonly #app: Answerer;
  readonly #gone = new AbortController();
  #connection: Resettable | undefined;
  #onSpeaks: (() => void) | undefined;

  constructor(app: Answerer) {
    this.#app = app;
  }

  /** Dials; what the app says stays in the connection, to be read by who gets it. */
  listen(onSpeaks: () => void): void {
    this.#onSpeaks = onSpeaks;
    this.#app.connect(this.#gone.signal).then(
      (connection) => {
        if (this.#gone.signal.aborted) {
          connection.resetAndDestroy();
          return;
        }
        closeAfterFailedReset(connection);
        this.#connection = connection;
        connection.on('readable', this.#readable);
      },
      () => {}, // it is dialled again by who needs it
    );
  }

  /** The app speaks first. */
  get hasSpoken(): boolean {
    return (this.#connection?.readableLength ?? 0) > 0;
  }

  readonly #readable = (): void => {
    // Readable with nothing to read: the app has closed, which says nothing about who speaks first.
    if (this.hasSpoken) this.#onSpeaks?.();
  };

  stopListening(): void {
    this.#onSpeaks = undefined;
    this.#connection?.off('readable', this.#readable);
  }

  /** The connection that was made early, if the app still has it, or a new one; to be called once. */
  async connect(signal: AbortSignal): Promise<Resettable> {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined && !connection.destroyed && !connection.readableEnded) return connection;
    this.#gone.abort();
    return await this.#app.connect(signal);
  }

  /** Nobody needs it. */
  drop(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) this.#gone.abort();
    if (connection === undefined || connection.destroyed) return;
    connection.on('end', () => connection.destroy());
    connection.end();
    connection.resume();
  }
}
