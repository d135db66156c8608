import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import httpProxy from 'http-proxy';
import { AbortGroup } from '../../src/abort-group.ts';
import { systemErrorCode } from '../../src/errors.ts';
import { TaskGroup } from '../../src/task-group.ts';
import { gatewayFailure } from './bad-gateway-page.ts';
import { type Dial, dialAddress } from './dial.ts';
import { endConnection, resetConnection } from './http-answer.ts';
import { type ExchangeResult, MAX_HEAD_BYTES, passRequest, sendBadGateway } from './http-exchange.ts';
import { pathForRecord, requestFault } from './http-headers.ts';
import { isIgnorableUpgrade, relayUpgrade, requestWithoutUpgrade, type UpgradeWatcher } from './http-upgrade.ts';
import { ProcessAgent } from './process-agent.ts';

/**
 * A caller that closed its sending side while it waits for an answer has most likely left (servers take it so), but may
 * have half-closed (`nc -N`): it keeps this long to get its answer.
 */
const HALF_CLOSED_GRACE_MS = 1000;
/** One request, for the log. No query, no field, no body. */
export interface RequestRecord {
  readonly method: string;
  readonly path: string;
  /** What the caller got; 0: it left before an answer; 101: written when the upgrade is made, not when it ends. */
  readonly status: number;
  /** Whole milliseconds. */
  readonly ms: number;
  /** Bytes of the bodies. */
  readonly bytesUp: number;
  readonly bytesDown: number;
  readonly error?: string;
}

export interface HttpProxyOptions {
  /** Where the process listens. */
  readonly target: { host: string; port: number };
  /** How it is reached, when not by a connection to there. */
  readonly dial?: Dial;
  readonly onRequest?: (record: RequestRecord) => void;
  /** How long a request waits for a process that does not listen just now. */
  readonly holdMs: number;
  /** Aborting is close(). */
  readonly signal?: AbortSignal;
}

interface Caller {
  /** Requests that are not answered yet; the first one is with the process, the others wait for it (pipelining). */
  readonly waiting: (() => void)[];
  busy: boolean;
  upgrade: 'none' | 'asked' | 'made';
  refused: boolean;
}

/**
 * Passes HTTP/1.1 connections of callers to the process, each request on its own: the process may restart between two
 * of them, and each is told to `onRequest`. Bytes of heads and bodies are those of the caller and the process.
 */
export class HttpProxy {
  readonly #options: HttpProxyOptions;
  readonly #agent: ProcessAgent;
  readonly #upgradeAgent: ProcessAgent;
  readonly #server: Server;
  readonly #proxy: httpProxy;
  readonly #callers = new Map<Duplex, Caller>();
  readonly #whenEmpty: (() => void)[] = [];
  readonly #tasks = new TaskGroup();
  readonly #upgrades = new AbortGroup();

  constructor(options: HttpProxyOptions) {
    this.#options = options;
    const { target, holdMs, dial = dialAddress(target) } = options;
    const place = { ...target, dial };
    this.#agent = new ProcessAgent(place, holdMs, { keepAlive: true, scheduling: 'lifo' });
    this.#upgradeAgent = new ProcessAgent(place, holdMs, { keepAlive: false });
    // toProxy: without it http-proxy calls url.parse on what a stranger wrote, which can throw.
    this.#proxy = httpProxy.createProxyServer({ selfHandleResponse: true, toProxy: true });
    this.#proxy.on('error', () => {}); // told to each request's own callback; without a listener http-proxy throws

    const serverOptions = {
      maxHeaderSize: MAX_HEAD_BYTES,
      insecureHTTPParser: false,
      requireHostHeader: true,
      // A caller or a process at a breakpoint may take any time, and closing idle connections is the caller's affair:
      // one closed here just as it is used again would be an error that the process never made.
      requestTimeout: 0,
      headersTimeout: 0,
      keepAliveTimeout: 0,
      // Node >= 24.9 asks; before, #onUpgrade has to hand such a request back.
      shouldUpgradeCallback: (request: IncomingMessage): boolean => !isIgnorableUpgrade(request),
    };
    this.#server = createServer(serverOptions);
    this.#server.maxHeadersCount = 0; // Node would drop the fields after the 2000th; MAX_HEAD_BYTES is the limit
    Object.assign(this.#server, { httpAllowHalfOpen: true }); // see HALF_CLOSED_GRACE_MS
    const enqueue = (request: IncomingMessage, response: ServerResponse): void => this.#enqueue(request, response);
    this.#server.on('request', enqueue);
    this.#server.on('checkContinue', enqueue); // the process says whether to continue
    this.#server.on('checkExpectation', enqueue);
    this.#server.on('upgrade', (request, connection, head) => this.#onUpgrade(request, connection, head));
    this.#server.on('connect', (request, connection) => {
      this.#record(request, performance.now(), { status: 405, bytesUp: 0, bytesDown: 0, error: 'CONNECT refused' });
      this.#refuse(connection, '405 Method Not Allowed');
    });
    this.#server.on('clientError', (error, connection) => {
      if (systemErrorCode(error) === 'ECONNRESET') resetConnection(connection);
      else if (systemErrorCode(error) === 'HPE_HEADER_OVERFLOW') {
        this.#refuse(connection, '431 Request Header Fields Too Large');
      } else this.#refuse(connection, '400 Bad Request');
    });
    if (options.signal?.aborted === true) this.#reset();
    else options.signal?.addEventListener('abort', this.#reset, { once: true });
  }

  /** Callers' connections that are not closed yet, upgraded ones among them. */
  get openConnections(): number {
    return this.#callers.size;
  }

  /** Takes over a caller's connection (already accepted, if it is a MuxStream). */
  handle(connection: Duplex): void {
    connection.on('error', () => {}); // 'close' follows
    if (this.#upgrades.aborted || connection.destroyed) {
      resetConnection(connection);
      return;
    }
    const caller: Caller = { waiting: [], busy: false, upgrade: 'none', refused: false };
    this.#callers.set(connection, caller);
    let grace: NodeJS.Timeout | undefined;
    const onGraceOver = (): void => {
      if (caller.upgrade !== 'made') resetConnection(connection);
    };
    connection.once('end', () => {
      if (caller.upgrade === 'made') return; // each direction ends on its own
      if (!caller.busy && caller.upgrade === 'none') connection.end();
      else grace = setTimeout(onGraceOver, HALF_CLOSED_GRACE_MS);
    });
    connection.once('close', () => {
      clearTimeout(grace);
      this.#callers.delete(connection);
      if (this.#callers.size === 0) for (const resolve of this.#whenEmpty.splice(0)) resolve();
    });
    this.#server.emit('connection', connection);
  }

  /** Resets what is under way; resolves when every caller's connection is closed and nothing is dialled any more. */
  async close(): Promise<void> {
    this.#reset();
    if (this.#callers.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    await this.#tasks.close();
  }

  readonly #reset = (): void => {
    this.#options.signal?.removeEventListener('abort', this.#reset);
    this.#upgrades.abort(new Error('the intercept ends'));
    for (const connection of [...this.#callers.keys()]) resetConnection(connection);
    this.#agent.destroy();
    this.#upgradeAgent.destroy();
  };

  /** One request of a connection at a time, in order, as a server that reads a connection would take them. */
  #enqueue(request: IncomingMessage, response: ServerResponse): void {
    const caller = this.#callers.get(request.socket);
    if (caller === undefined) return; // closed meanwhile
    const start = (): void => this.#start(request, response, caller);
    if (caller.busy) caller.waiting.push(start);
    else start();
  }

  #start(request: IncomingMessage, response: ServerResponse, caller: Caller): void {
    const startedAt = performance.now();
    caller.busy = true;
    const onDone = (result: ExchangeResult): void => {
      caller.busy = false;
      this.#record(request, startedAt, result);
      const next = caller.waiting.shift();
      if (next !== undefined) next();
      else if (request.socket.readableEnded) request.socket.end(); // a half-closed caller has its answer
    };
    const fault = requestFault(request.httpVersion, request.rawHeaders);
    if (fault !== undefined) {
      caller.refused = true; // Node 24 and 26 hand out a request whose body the parser then refuses, too
      response.once('close', () => onDone({ status: 400, bytesUp: 0, bytesDown: 0, error: `refused: ${fault}` }));
      response.shouldKeepAlive = false;
      response.writeHead(400, { 'content-type': 'text/plain', 'content-length': fault.length + 1 });
      response.end(`${fault}\n`);
      return;
    }
    // http-proxy copies and mends them (its deleteLength frames a chunked DELETE as empty); the raw ones are what is sent.
    request.headers = {};
    passRequest(request, response, { proxy: this.#proxy, target: this.#options.target, agent: this.#agent }, onDone);
  }

  #onUpgrade(request: IncomingMessage, connection: Duplex, head: Buffer): void {
    const caller = this.#callers.get(connection);
    const fault = requestFault(request.httpVersion, request.rawHeaders);
    // busy: an upgrade behind an unanswered request would overtake the answer.
    if (caller === undefined || caller.busy || fault !== undefined) {
      this.#refuse(connection, '400 Bad Request');
      return;
    }
    if (isIgnorableUpgrade(request)) {
      connection.unshift(requestWithoutUpgrade(request, head));
      this.#server.emit('connection', connection);
      return;
    }
    caller.upgrade = 'asked';
    const startedAt = performance.now();
    const result: ExchangeResult = { status: 0, bytesUp: 0, bytesDown: 0 };
    const target = { ...this.#options.target, agent: this.#upgradeAgent };
    const watcher: UpgradeWatcher = {
      onSwitched: () => {
        caller.upgrade = 'made';
        this.#record(request, startedAt, { ...result, status: 101 });
      },
      onRefused: (status, bytesDown, error) =>
        this.#record(request, startedAt, { ...result, status, bytesDown, ...(error === undefined ? {} : { error }) }),
      onFailed: (error, response) => {
        const failure = gatewayFailure(error);
        this.#record(request, startedAt, { ...result, status: 502, error: failure.reason });
        sendBadGateway(request, response, failure);
      },
      onLeft: () => this.#record(request, startedAt, { ...result, error: 'the caller left' }),
    };
    this.#tasks.add(this.#upgrades.run((signal) => relayUpgrade(request, connection, head, target, signal, watcher)));
  }

  #refuse(connection: Duplex, status: string): void {
    const caller = this.#callers.get(connection);
    if (caller?.refused === true) return; // the parser complains again at each further chunk
    if (caller === undefined || caller.busy || caller.upgrade !== 'none' || !connection.writable) {
      resetConnection(connection); // in the middle of an answer nothing can be said
      return;
    }
    caller.refused = true;
    endConnection(connection, `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  }

  #record(request: IncomingMessage, startedAt: number, result: ExchangeResult): void {
    const { method = '', url = '' } = request;
    const ms = Math.round(performance.now() - startedAt);
    this.#options.onRequest?.({ method, path: pathForRecord(url), ms, ...result });
  }
}
