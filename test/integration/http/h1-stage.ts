import { Scene, type SceneOptions } from './h1-scene.ts';
import { Caller, httpUpstream, type Upstream } from './h1-upstreams.ts';

/** What a test opened; its file closes it behind each of them. */
export class H1Stage {
  readonly #opened: AsyncDisposable[] = [];

  own<T extends AsyncDisposable>(each: T): T {
    this.#opened.push(each);
    return each;
  }

  /** A router before one server, which is app and laptop, and a caller of it. */
  async worldOf(server: Upstream, options: SceneOptions = {}): Promise<{ scene: Scene; caller: Caller }> {
    this.own(server);
    const scene = this.own(await Scene.open({ app: server.port, laptop: server.port }, options));
    return { scene, caller: await Caller.open(scene.port) };
  }

  /** Servers that say who they are and what they got, and a router before them. */
  async echoWorld(options: SceneOptions = {}): Promise<{ scene: Scene; app: Upstream; laptop: Upstream }> {
    const echo = (name: string) =>
      httpUpstream((request, response) => {
        let bytes = 0;
        request.on('data', (chunk: Buffer) => {
          bytes += chunk.byteLength;
        });
        request.on('end', () => {
          const text = `${name} ${request.method} ${request.url} ${bytes}`;
          response.setHeader('content-length', text.length); // or HTTP/1.0 is not kept alive
          response.end(text);
        });
      });
    const app = this.own(await echo('app'));
    const laptop = this.own(await echo('laptop'));
    return { app, laptop, scene: this.own(await Scene.open({ app: app.port, laptop: laptop.port }, options)) };
  }

  async close(): Promise<void> {
    for (const each of this.#opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
  }
}

/** A GET of HTTP/1.1. @param fields whole lines */
export const get = (path: string, fields = ''): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
