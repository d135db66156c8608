import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import WebSocket, { WebSocketServer } from 'ws';
import { errorText, InterceptorError } from '../../errors.ts';
import { Inbox } from '../../mux/inbox.ts';
import { TRANSPORT_HIGH_WATER_BYTES } from '../../mux/limits.ts';
import type { Transport } from '../../mux/transport.ts';
import { MAX_MESSAGE_BYTES } from '../../protocol/limits.ts';
import { connectRawWebSocket, type RawWebSocketOptions, UpgradeRefused } from './raw-websocket.ts';

const CLOSE_TIMEOUT_MS = 2_000;
const MAX_REFUSAL_CHARACTERS = 2 * 1024;
/** Close codes that mean "on purpose" (RFC 6455 §7.4.1): normal, going away, none given. */
const ORDERLY_CODES = new Set([1000, 1001, 1005]);

/** Both sides: no compression (2 to 7 times slower, LIBRARIES), limited messages, pongs only as they can be sent. */
const COMMON_OPTIONS = {
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  autoPong: false,
  closeTimeout: CLOSE_TIMEOUT_MS,
} as const;

/** The server answered the upgrade with something else. */
export class UpgradeRefusedError extends InterceptorError {
  readonly status: number;
  /** The start of the answer's body. */
  readonly body: string;

  constructor(host: string, status: number, body: string) {
    super('TUNNEL_REFUSED', `${host} refused the tunnel: HTTP ${status}${body === '' ? '' : `: ${firstLine(body)}`}`);
    this.status = status;
    this.body = body.slice(0, MAX_REFUSAL_CHARACTERS);
  }
}

/** A Transport over an open WebSocket of either side; takes it over. */
export function webSocketTransport(ws: WebSocket): Transport {
  return new WebSocketTransport(ws);
}

class WebSocketTransport extends Inbox implements Transport {
  onDrain: (() => void) | undefined;
  readonly #ws: WebSocket;
  #wasFull = false;
  #error: Error | undefined;
  readonly #onSent = (): void => {
    if (!this.#wasFull || this.bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES) return;
    this.#wasFull = false;
    this.onDrain?.();
  };

  constructor(ws: WebSocket) {
    super();
    this.#ws = ws;
    ws.binaryType = 'nodebuffer';
    ws.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.deliver(data);
      else this.#fail(new Error('a text message in the tunnel'));
    });
    ws.on('ping', (data) => {
      // ws would queue a pong for every ping, also for a peer that never reads.
      if (this.bufferedBytes < TRANSPORT_HIGH_WATER_BYTES) ws.pong(data);
    });
    ws.on('error', (error) => {
      this.#error ??= error;
    });
    ws.on('close', (code) => {
      this.finish(
        this.#error ?? (ORDERLY_CODES.has(code) ? undefined : new Error(`WebSocket closed with code ${code}`)),
      );
    });
  }

  get bufferedBytes(): number {
    return this.#ws.bufferedAmount;
  }

  send(message: Uint8Array, onSent?: () => void): void {
    if (this.#ws.readyState !== WebSocket.OPEN) return;
    this.#ws.send(message, (error) => {
      if (error === undefined || error === null) onSent?.();
      this.#onSent();
    });
    if (this.bufferedBytes >= TRANSPORT_HIGH_WATER_BYTES) this.#wasFull = true;
  }

  override pause(): void {
    super.pause();
    this.#ws.pause();
  }

  override resume(): void {
    super.resume();
    this.#ws.resume();
  }

  close(): void {
    // A paused socket would not see the peer's close frame.
    this.#ws.resume();
    this.#ws.close(1000);
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.#ws.terminate();
  }
}

export interface ConnectOptions {
  /** ws: or wss: */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Of the connection; ignored with createConnection. */
  readonly tls?: RawWebSocketOptions['tls'];
  /** A connection made elsewhere, already secured if it has to be. */
  readonly createConnection?: () => Duplex;
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
}

/**
 * Dials a WebSocket. The caller closes the transport.
 * @throws UpgradeRefusedError (TUNNEL_REFUSED) with the HTTP status; InterceptorError TUNNEL_LOST, with the system's
 *   error as cause, when there was no answer or none in time; the signal's reason when aborted
 */
export async function connectWebSocket(options: ConnectOptions): Promise<Transport> {
  const { url, headers, tls, createConnection, signal, deadlineMs } = options;
  signal.throwIfAborted();
  const { host } = new URL(url);
  const late = AbortSignal.timeout(deadlineMs);
  try {
    const ws = await connectRawWebSocket(url, [], {
      headers,
      tls,
      socket: createConnection?.(),
      maxPayloadBytes: MAX_MESSAGE_BYTES,
      autoPong: false,
      signal: AbortSignal.any([signal, late]),
    });
    const transport = webSocketTransport(ws);
    ws.resume();
    return transport;
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    if (cause instanceof UpgradeRefused) throw new UpgradeRefusedError(host, cause.status, cause.body);
    if (late.aborted) throw new InterceptorError('TUNNEL_LOST', `${host} did not answer within ${deadlineMs} ms`);
    throw new InterceptorError('TUNNEL_LOST', `cannot reach ${host}: ${errorText(cause)}`, { cause });
  }
}

export interface AcceptOptions {
  /** The end of the request's path; proxies may put anything before it. */
  readonly pathSuffix: string;
  /** Called at once after the upgrade: nothing of what the peer sends is lost. */
  readonly onTransport: (transport: Transport, request: IncomingMessage) => void;
}

/**
 * Accepts WebSockets on a server; other paths are answered 404.
 * @returns a function that accepts no more; transports handed out are not touched
 */
export function acceptWebSocket(server: HttpServer | HttpsServer, options: AcceptOptions): () => void {
  const acceptor = new WebSocketServer({ ...COMMON_OPTIONS, noServer: true, clientTracking: false });
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => {}); // ECONNRESET before the upgrade is done; the transport tells afterwards
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    if (!path.endsWith(options.pathSuffix)) {
      socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => socket.destroy());
      return;
    }
    acceptor.handleUpgrade(request, socket, head, (ws) => options.onTransport(webSocketTransport(ws), request));
  };
  server.on('upgrade', onUpgrade);
  return () => server.off('upgrade', onUpgrade);
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0]?.slice(0, 200) ?? '';
}
