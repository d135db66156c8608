import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { type HttpOptions, routeHttp } from '../../../src/http/detect.ts';
import type { Answerer, Decision, HttpRoutes, RequestHead, Resettable } from '../../../src/http/routing.ts';

/** Servers and connections of a test, closed at its end. */
export class World {
  readonly #closing: (() => void)[] = [];
  readonly callers = new Set<Socket>();
  /** Open exchanges by answerer. */
  readonly open = new Map<string, number>();
  /** What was passed on as no HTTP. */
  readonly passedOn: string[] = [];
  /** Connections made to each answerer. */
  readonly dialled = new Map<string, Socket[]>();
  /** Routers whose caller is not closed yet. */
  routers = 0;

  /** An HTTP/2 server in clear text; its sessions end with the world. */
  async serve(
    onStream: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders, raw: string[]) => void,
    settings: http2.Settings = {},
  ): Promise<{ port: number; sessions: Set<http2.ServerHttp2Session> }> {
    const server = http2.createServer({ settings });
    const sessions = new Set<http2.ServerHttp2Session>();
    server.on('session', (session) => {
      sessions.add(session);
      session.on('close', () => sessions.delete(session));
      session.on('error', () => {});
    });
    server.on('stream', (stream, headers, _flags, raw?: string[]) => {
      stream.on('error', () => {});
      onStream(stream, headers, raw ?? []);
    });
    this.onClose(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    return { port: await listening(server), sessions };
  }

  /** Who answers at a port of 127.0.0.1. */
  answerer(id: string, port: number, more: Partial<Answerer> = {}): Answerer {
    return {
      id,
      fallback: undefined,
      requestFields: [],
      responseFields: [],
      began: () => {
        this.open.set(id, (this.open.get(id) ?? 0) + 1);
        return () => this.open.set(id, (this.open.get(id) ?? 0) - 1);
      },
      connect: () => this.dial(id, port),
      ...more,
    };
  }

  async dial(id: string, port: number): Promise<Socket> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    this.dialled.set(id, [...(this.dialled.get(id) ?? []), socket]);
    await once(socket, 'connect');
    return socket;
  }

  /** A filtered port: where its requests go is `decide`'s to say. */
  async route(
    decide: (head: RequestHead) => Partial<Decision> & Pick<Decision, 'answerer'>,
    options: Partial<HttpOptions> = {},
  ): Promise<number> {
    const routes: HttpRoutes = { decide: (head) => ({ mirrors: [], ...decide(head) }) };
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.callers.add(socket);
      this.routers += 1;
      const done = routeHttp(socket, routes, {
        app: this.answerer('app', 1),
        passOn: (caller, first, speaks, dialApp) => {
          this.passedOn.push(speaks);
          void joined(caller, first, dialApp(new AbortController().signal));
        },
        ...options,
      });
      void done.then(() => {
        this.routers -= 1;
      });
    });
    this.onClose(() => {
      for (const caller of this.callers) caller.destroy();
      server.close();
    });
    return await listening(server);
  }

  client(port: number, settings: http2.Settings = {}): http2.ClientHttp2Session {
    const session = http2.connect(`http://127.0.0.1:${port}`, { settings });
    session.on('error', () => {});
    this.onClose(() => session.destroy());
    return session;
  }

  /** Listens until the world closes, and all its connections with it. @returns the port */
  async listen(server: Server | http2.Http2SecureServer): Promise<number> {
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
    });
    this.onClose(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return await listening(server);
  }

  onClose(close: () => void): void {
    this.#closing.push(close);
  }

  close(): void {
    for (const close of this.#closing.splice(0).reverse()) close();
  }
}

async function joined(caller: Resettable, first: Buffer, app: Promise<Resettable>): Promise<void> {
  const to = await app;
  to.write(first);
  caller.pipe(to);
  to.pipe(caller);
  to.on('error', () => caller.destroy());
  caller.on('error', () => to.destroy());
}

async function listening(server: Server | http2.Http2Server | http2.Http2SecureServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

export interface Answer {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly raw: string[];
  readonly body: string;
  readonly trailers: http2.IncomingHttpHeaders | undefined;
  /** Heads of 1xx answers. */
  readonly informed: http2.IncomingHttpHeaders[];
  readonly rstCode: number;
}

/** Answers with its name, and the body it got. */
export const named =
  (name: string) =>
  (stream: http2.ServerHttp2Stream): void => {
    let body = '';
    stream.on('data', (chunk) => {
      body += chunk;
    });
    stream.on('end', () => {
      if (stream.closed) return;
      stream.respond({ ':status': 200, 'x-by': name });
      stream.end(body);
    });
  };

/** One request, its whole answer. */
export async function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Answer> {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return await answerOf(stream);
}

export async function answerOf(stream: http2.ClientHttp2Stream): Promise<Answer> {
  let headers: http2.IncomingHttpHeaders = {};
  let raw: string[] = [];
  let trailers: http2.IncomingHttpHeaders | undefined;
  const informed: http2.IncomingHttpHeaders[] = [];
  const chunks: Buffer[] = [];
  stream.on('error', () => {});
  stream.on('headers', (got) => informed.push(got));
  stream.on('response', (got, _flags, list?: string[]) => {
    headers = got;
    raw = list ?? [];
  });
  stream.on('trailers', (got) => {
    trailers = got;
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
  const body = Buffer.concat(chunks).toString();
  return { status: Number(headers[':status'] ?? 0), headers, raw, body, trailers, informed, rstCode: stream.rstCode };
}

/** Waits for what a test can only see happen. */
export async function eventually(what: () => boolean, told: () => string = () => ''): Promise<void> {
  const until = Date.now() + 5_000;
  while (!what()) {
    if (Date.now() > until) assert.fail(`did not come about: ${what.toString()} ${told()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
