import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type H1Options, routeH1 } from '../../../src/http/h1/connection.ts';
import type { Answerer, HttpRoutes, Mirror, Refusal, RequestHead, Resettable } from '../../../src/http/routing.ts';

type Fields = readonly (readonly [string, string])[];

export interface SceneOptions extends H1Options {
  /** Who answers; the laptop gets what has `x-user: dev` where this is left out. */
  readonly choose?: (head: RequestHead, scene: Scene) => Answerer | Refusal;
  readonly mirrors?: (head: RequestHead) => readonly Mirror[];
}

/** A router on a real port, between callers and the ports of an app and a laptop. */
export class Scene implements AsyncDisposable {
  readonly port: number;
  readonly app: Answerer;
  readonly laptop: Answerer;
  /** Heads that were decided, in order. */
  readonly decided: RequestHead[] = [];
  /** began() and its end, by answerer. */
  readonly open = new Map<string, number>();
  readonly begun: string[] = [];
  /** Connections made, by answerer. */
  readonly dialed: string[] = [];
  readonly callers = new Set<Socket>();
  readonly #server: Server;
  readonly #running = new Set<Promise<void>>();

  private constructor(server: Server, ports: { app: number; laptop: number }, options: SceneOptions) {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    this.port = address.port;
    this.#server = server;
    this.app = this.answerer('app', ports.app);
    this.laptop = this.answerer('laptop', ports.laptop, {
      fallback: this.app,
      requestFields: [['x-intercept-by', 'dev@host']],
    });
    const routes: HttpRoutes = {
      decide: (head) => {
        this.decided.push(head);
        const answerer = options.choose?.(head, this) ?? (head.header('x-user') === 'dev' ? this.laptop : this.app);
        return { answerer, mirrors: options.mirrors?.(head) ?? [] };
      },
    };
    server.on('connection', (caller) => {
      this.callers.add(caller);
      const done = routeH1(caller, Buffer.alloc(0), routes, options).finally(() => {
        this.#running.delete(done);
        this.callers.delete(caller);
      });
      this.#running.add(done);
    });
  }

  static async open(ports: { app: number; laptop: number }, options: SceneOptions = {}): Promise<Scene> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Scene(server, ports, options);
  }

  /** Somebody who answers on a port of 127.0.0.1. */
  answerer(
    id: string,
    port: number,
    has: { fallback?: Answerer | Refusal; requestFields?: Fields; responseFields?: Fields } = {},
  ): Answerer {
    return {
      id,
      fallback: has.fallback,
      requestFields: has.requestFields ?? [],
      responseFields: has.responseFields ?? [],
      connect: (signal) => {
        this.dialed.push(id);
        return dial(port, signal);
      },
      began: () => {
        this.begun.push(id);
        this.open.set(id, (this.open.get(id) ?? 0) + 1);
        let over = false;
        return () => {
          if (over) throw new Error('ended twice');
          over = true;
          this.open.set(id, (this.open.get(id) ?? 0) - 1);
        };
      },
    };
  }

  /** Requests that have begun and not ended. */
  get openCount(): number {
    return [...this.open.values()].reduce((sum, count) => sum + count, 0);
  }

  get connectionCount(): number {
    return this.#running.size;
  }

  /** Resolves when every caller's connection is over. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const caller of this.callers) caller.resetAndDestroy();
    await this.idle();
  }
}

export async function dial(port: number, signal?: AbortSignal): Promise<Socket & Resettable> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const abort = (): void => {
    socket.destroy();
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await once(socket, 'connect');
  } finally {
    signal?.removeEventListener('abort', abort);
  }
  return socket;
}
