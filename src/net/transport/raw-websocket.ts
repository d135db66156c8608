import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import { type RawData, WebSocket } from 'ws';

/** For those outside src/net, which do not import ws. */
export type RawWebSocket = WebSocket;
export type RawMessage = RawData;

const HANDSHAKE_TIMEOUT_MS = 15_000;
/** Missing in @types/ws 8.18. */
const CLOSING = { closeTimeout: 2_000 } as const;
const MAX_REFUSAL_BYTES = 64 * 1024;

export interface RawWebSocketOptions {
  readonly headers?: Readonly<Record<string, string | string[]>> | undefined;
  /** A connected socket (TLS included) to use instead of dialling the URL's host. Taken over: closed on failure. */
  readonly socket?: Duplex | undefined;
  /** Of the connection that is dialled where no socket is given. */
  readonly tls?:
    | (SecureContextOptions & { readonly rejectUnauthorized?: boolean; readonly servername?: string })
    | undefined;
  readonly maxPayloadBytes: number;
  /** False for a transport that answers pings itself, bounded. */
  readonly autoPong?: boolean | undefined;
  readonly signal: AbortSignal;
}

/** The server answered the upgrade with a plain HTTP answer. */
export class UpgradeRefused extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`the WebSocket upgrade was answered with HTTP ${status}`);
    this.name = 'UpgradeRefused';
    this.status = status;
    this.body = body;
  }
}

/**
 * Opens a client WebSocket: no compression, zero mask (legal, and three to four times faster; what is
 * masked sits inside TLS, so no proxy that could be confused reads it).
 * @returns an open and *paused* socket: add listeners, then resume(); nothing that came early is lost
 * @throws UpgradeRefused; the connection's error; the signal's reason
 */
export function connectRawWebSocket(
  url: string,
  protocols: readonly string[],
  options: RawWebSocketOptions,
): Promise<RawWebSocket> {
  const { headers, socket, tls, maxPayloadBytes, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      socket?.destroy();
      reject(signal.reason);
      return;
    }
    const webSocket = new WebSocket(url, [...protocols], {
      headers: { ...headers } as Record<string, string>, // node:http takes lists too, which the types of ws leave out
      ...tls,
      // Types ask for a net.Socket; node:http takes any Duplex.
      ...(socket === undefined ? {} : { createConnection: (() => socket) as never }),
      autoPong: options.autoPong ?? true,
      ...CLOSING,
      perMessageDeflate: false,
      maxPayload: maxPayloadBytes,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      followRedirects: false,
      generateMask: () => {},
    });
    const settle = (): void => {
      webSocket.off('open', onOpen).off('error', fail).off('unexpected-response', onRefusal);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: unknown): void => {
      settle();
      webSocket.on('error', () => {}); // terminate() during the handshake reports itself
      webSocket.terminate();
      socket?.destroy();
      reject(error);
    };
    const onOpen = (): void => {
      settle();
      webSocket.pause();
      resolve(webSocket);
    };
    const onRefusal = (_request: unknown, answer: IncomingMessage): void => {
      let body = '';
      const done = (): void => fail(new UpgradeRefused(answer.statusCode ?? 0, body));
      answer.setEncoding('utf8');
      answer.on('data', (text: string) => {
        if (body.length < MAX_REFUSAL_BYTES) body += text;
      });
      answer.once('end', done).once('error', done).once('aborted', done);
    };
    const onAbort = (): void => fail(signal.reason);
    webSocket.on('open', onOpen).on('error', fail).on('unexpected-response', onRefusal);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
