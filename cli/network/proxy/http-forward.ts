import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Outgoing } from '../types.ts';
import { httpAnswer } from './dial-answers.ts';
import { nextHopHeaders, parseAbsoluteForm, parseAuthority } from './http-messages.ts';
import { dialFor, join, type ProxyContext, say } from './join.ts';
import { HANDSHAKE_DEADLINE_MS, KEEP_ALIVE_MS, MAX_HTTP_HEADER_BYTES } from './limits.ts';

const NOT_A_PROXY_REQUEST =
  'kube-intercept: this port is a proxy: it takes CONNECT, and requests for an absolute http:// URL';

/** HTTP as a proxy speaks it: CONNECT, and requests in absolute form. Takes sockets, listens nowhere. */
export class HttpForward {
  readonly #context: ProxyContext;
  readonly #server: Server;
  /** Connections that have shown who they are. */
  readonly #allowed = new WeakSet<Duplex>();

  constructor(context: ProxyContext) {
    this.#context = context;
    this.#server = createServer({
      maxHeaderSize: MAX_HTTP_HEADER_BYTES,
      headersTimeout: HANDSHAKE_DEADLINE_MS,
      requestTimeout: 0, // an upload may take as long as it does
      keepAliveTimeout: KEEP_ALIVE_MS,
    });
    this.#server.on('request', (req, res) => void this.#forward(req, res));
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => void this.#forward(req, res));
    this.#server.on('connect', (req: IncomingMessage, socket: Socket, head: Buffer) => {
      void this.#connect(req, socket, head);
    });
    this.#server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
      void this.#upgrade(req, socket, head);
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      const large = error.code === 'HPE_HEADER_OVERFLOW';
      if (socket.writable) socket.end(plain(large ? 431 : 400, 'kube-intercept: not HTTP'));
      else socket.destroy();
    });
    this.#server.emit('listening'); // it starts the clock that headersTimeout goes by
  }

  /** Takes a connection; what was read of it has been put back. */
  take(socket: Socket): void {
    this.#server.emit('connection', socket);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close(() => {}); // it has never listened
  }

  #isAllowed(req: IncomingMessage): boolean {
    const { socket } = req;
    if (this.#allowed.has(socket)) return true;
    const { access } = this.#context;
    const allowed =
      access.byHeader(req.headers['proxy-authorization']) || access.byOwner('tcp', socket.remotePort, socket.localPort);
    if (allowed) this.#allowed.add(socket);
    return allowed;
  }

  async #forward(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.on('error', () => {}); // the client has gone
    const target = parseAbsoluteForm(req.url ?? '');
    // Browsers can be made to send requests in origin form here: they learn nothing, and the connection ends with them.
    if (target === undefined) return refuse(res, 400, NOT_A_PROXY_REQUEST);
    if (!this.#isAllowed(req)) return refuse(res, 407, 'kube-intercept: the credentials of the proxy URL are needed');
    let outgoing: Outgoing;
    try {
      outgoing = await dialFor(req.socket, this.#context, target.host, target.port);
    } catch (error) {
      const { status, text } = httpAnswer(error, target.authority);
      return refuse(res, status, text);
    }
    const upstream = request({
      createConnection: () => outgoing,
      method: req.method ?? 'GET',
      path: target.path,
      headers: nextHopHeaders(req.rawHeaders, target.authority),
      setHost: false,
    });
    const broken = (): void => {
      outgoing.resetAndDestroy();
      refuse(res, 502, `kube-intercept: ${target.authority}: its answer is not HTTP`);
    };
    upstream.on('continue', () => res.writeContinue());
    upstream.on('upgrade', broken); // 101 that nobody has asked for
    upstream.on('response', (answer) => {
      try {
        res.writeHead(answer.statusCode ?? 502, answer.statusMessage, nextHopHeaders(answer.rawHeaders, undefined));
      } catch {
        broken(); // ERR_HTTP_INVALID_STATUS_CODE, ERR_INVALID_CHAR: what Node reads and does not write
        return;
      }
      res.flushHeaders();
      answer.on('end', () => {
        const trailers = answer.rawTrailers.flatMap((name, index, all): [string, string][] =>
          index % 2 === 0 ? [[name, all[index + 1] ?? '']] : [],
        );
        if (trailers.length > 0) res.addTrailers(trailers);
      });
      answer.on('error', () => res.destroy()); // cut short: the client must not take it for whole
      answer.pipe(res);
    });
    upstream.on('error', () => {
      if (res.headersSent) res.destroy();
      else refuse(res, 502, `kube-intercept: ${target.authority}: connection reset`);
    });
    res.once('close', () => {
      if (!res.writableFinished) outgoing.resetAndDestroy();
      else outgoing.destroy();
    });
    req.pipe(upstream);
  }

  async #connect(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    socket.on('error', () => {}); // told by join, or the client has gone
    const target = parseAuthority(req.url ?? '', undefined);
    if (target === undefined) {
      say(socket, plain(400, NOT_A_PROXY_REQUEST));
      return;
    }
    const outgoing = await this.#dial(req, socket, target.host, target.port);
    if (outgoing === undefined) return;
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    await this.#join(socket, head, outgoing);
  }

  async #upgrade(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    socket.on('error', () => {}); // told by join, or the client has gone
    const target = parseAbsoluteForm(req.url ?? '');
    if (target === undefined) {
      say(socket, plain(400, NOT_A_PROXY_REQUEST));
      return;
    }
    const outgoing = await this.#dial(req, socket, target.host, target.port);
    if (outgoing === undefined) return;
    const headers = nextHopHeaders(req.rawHeaders, target.authority, true);
    const lines = headers.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${headers[index + 1] ?? ''}`] : []));
    outgoing.write([`${req.method ?? 'GET'} ${target.path} HTTP/1.1`, ...lines, '', ''].join('\r\n'), 'latin1');
    await this.#join(socket, head, outgoing);
  }

  async #dial(req: IncomingMessage, socket: Socket, host: string, port: number): Promise<Outgoing | undefined> {
    if (!this.#isAllowed(req)) {
      say(socket, plain(407, 'kube-intercept: the credentials of the proxy URL are needed'));
      return undefined;
    }
    try {
      return await dialFor(socket, this.#context, host, port);
    } catch (error) {
      const { status, text } = httpAnswer(error, req.url ?? '');
      say(socket, plain(status, text));
      return undefined;
    }
  }

  async #join(socket: Socket, head: Buffer, outgoing: Outgoing): Promise<void> {
    socket.setTimeout(0);
    if (head.byteLength > 0) socket.unshift(head);
    await join(socket, outgoing, this.#context);
  }
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  407: 'Proxy Authentication Required',
  431: 'Request Header Fields Too Large',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
};

function answerHeaders(status: number, text: string): Record<string, string> {
  return {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(`${text}\n`)),
    Connection: 'close',
    ...(status === 407 ? { 'Proxy-Authenticate': 'Basic realm="kube-intercept"' } : {}),
  };
}

function refuse(res: ServerResponse, status: number, text: string): void {
  res.writeHead(status, REASONS[status], answerHeaders(status, text));
  res.end(`${text}\n`);
}

function plain(status: number, text: string): string {
  const headers = Object.entries(answerHeaders(status, text)).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${REASONS[status] ?? ''}\r\n${headers.join('')}\r\n${text}\n`;
}
