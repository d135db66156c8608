import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer, type RequestListener } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { confirmEnd } from '../../../src/net/confirm-end.ts';
import { dial } from './h1-scene.ts';

/** A server on a real port that knows what came to it. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly sockets: Set<Socket>;
  /** Everything that came, of all connections. */
  received(): string;
  connections: number;
}

/** node:http. */
export async function httpUpstream(
  listener: RequestListener,
  tune: (server: HttpServer) => void = () => {},
): Promise<Upstream> {
  const http = createHttpServer(listener);
  http.keepAliveTimeout = 60_000;
  tune(http);
  return rawUpstream((socket) => {
    http.emit('connection', socket);
  });
}

/** Bare sockets, half-open: they end their side when the other has ended, behind what `onConnection` does then. */
export async function rawUpstream(onConnection: (socket: Socket, index: number) => void): Promise<Upstream> {
  const chunks: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket, upstream.connections);
    upstream.connections += 1;
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const upstream: Upstream = {
    port: address.port,
    sockets,
    connections: 0,
    received: () => Buffer.concat(chunks).toString('latin1'),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return upstream;
}

/** A caller that sees the bytes. */
export class Caller {
  readonly socket: Socket;
  ended = false;
  /** What ended it badly. */
  error: NodeJS.ErrnoException | undefined;
  readonly closed: Promise<void>;
  #text = '';
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      this.#changed();
    });
    socket.on('end', () =>
      confirmEnd(socket, () => {
        this.ended = true;
        this.#changed();
      }),
    );
    socket.on('error', (error) => {
      this.error = error;
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#changed();
        resolve();
      });
    });
  }

  static async open(port: number): Promise<Caller> {
    return new Caller(await dial(port));
  }

  /** All that came. */
  get text(): string {
    return this.#text;
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  /** Resolves once what came is so. @throws when the connection is closed before */
  async until(holds: (text: string) => boolean): Promise<string> {
    while (!holds(this.#text)) {
      if (this.socket.closed)
        throw new Error(`closed (${this.error?.code ?? 'end'}) behind: ${this.#text.slice(-500)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
    return this.#text;
  }

  untilHas(part: string): Promise<string> {
    return this.until((text) => text.includes(part));
  }

  async untilEnd(): Promise<string> {
    await this.until(() => this.ended);
    this.socket.end();
    return this.#text;
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** How many answers begin in a text. */
export function answersIn(text: string): number {
  return text.split(/HTTP\/1\.[01] [2-5]\d\d/).length - 1;
}

/** A server that answers each connection's first bytes with these. */
export function answering(...answers: string[]): Promise<Upstream> {
  return rawUpstream((socket) => {
    socket.once('data', () => socket.write(answers.join('')));
  });
}
