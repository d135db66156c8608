import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { HttpProxy, type HttpProxyOptions, type RequestRecord } from '../../../cli/session/http-proxy.ts';

const DEADLINE_MS = 20_000;

/** One end of a TCP connection, byte by byte. */
export class Peer {
  readonly socket: Socket;
  received = '';
  ended = false;
  /** How it ended for good. */
  closedBy: 'fin' | 'reset' | undefined;
  readonly #watchers = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    let error: Error | undefined;
    socket.on('data', (chunk) => {
      this.received += chunk.toString('latin1');
      this.#changed();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#changed();
    });
    socket.on('error', (cause) => {
      error = cause;
    });
    socket.on('close', () => {
      this.closedBy = error === undefined ? 'fin' : 'reset';
      this.#changed();
    });
  }

  send(text: string): this {
    this.socket.write(Buffer.from(text, 'latin1'));
    return this;
  }

  /** Waits until `condition` holds; looked at whenever something happens on this connection. */
  async until(condition: (peer: this) => boolean, what: string): Promise<this> {
    if (condition(this)) return this;
    let watcher: () => void = () => {};
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        watcher = () => {
          if (condition(this)) resolve();
        };
        this.#watchers.add(watcher);
        timer = setTimeout(
          () =>
            reject(
              new Error(
                `${what} did not happen; received ${JSON.stringify(this.received)}, closed by ${this.closedBy}`,
              ),
            ),
          DEADLINE_MS,
        );
      });
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
    return this;
  }

  has(text: string): Promise<this> {
    return this.until((peer) => peer.received.includes(text), `receiving ${JSON.stringify(text)}`);
  }

  closed(): Promise<this> {
    return this.until((peer) => peer.closedBy !== undefined, 'the close');
  }

  /** Takes what was received so far. */
  take(): string {
    const text = this.received;
    this.received = '';
    return text;
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** Listens and hands out raw connections in the order they come. */
export class Listener {
  readonly server: Server;
  readonly all: Peer[] = [];
  #waiting: ((peer: Peer) => void)[] = [];
  #given = 0;
  onPeer: ((peer: Peer) => void) | undefined;

  private constructor(server: Server) {
    this.server = server;
    server.on('connection', (socket) => {
      const peer = new Peer(socket);
      this.all.push(peer);
      this.onPeer?.(peer);
      const waiter = this.#waiting.shift();
      if (waiter !== undefined) {
        this.#given += 1;
        waiter(peer);
      }
    });
  }

  static async open(port = 0): Promise<Listener> {
    const listener = new Listener(createServer({ allowHalfOpen: true, noDelay: true }));
    listener.server.listen(port, '127.0.0.3'); // on 127.0.0.1 tests of other files look for ports that nobody has
    await once(listener.server, 'listening');
    return listener;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async next(): Promise<Peer> {
    const ready = this.all[this.#given];
    if (ready !== undefined) {
      this.#given += 1;
      return ready;
    }
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no connection came')), DEADLINE_MS);
      this.#waiting.push((peer) => {
        clearTimeout(timer);
        resolve(peer);
      });
    });
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const { socket } of this.all) socket.destroy();
    await closed;
  }
}

/** The proxy between a raw TCP caller and a raw TCP process. */
export class Stage {
  readonly process: Listener;
  readonly front: Listener;
  readonly proxy: HttpProxy;
  readonly records: RequestRecord[] = [];
  readonly #callers: Socket[] = [];
  #recordWaiter: (() => void) | undefined;

  private constructor(process: Listener, front: Server, frontListener: Listener, options: Partial<HttpProxyOptions>) {
    this.process = process;
    this.front = frontListener;
    this.proxy = new HttpProxy({
      target: { host: '127.0.0.3', port: process.port },
      holdMs: 0,
      ...options,
      onRequest: (record) => {
        this.records.push(record);
        this.#recordWaiter?.();
      },
    });
    front.removeAllListeners('connection');
    front.on('connection', (socket) => this.proxy.handle(socket));
  }

  static async open(options: Partial<HttpProxyOptions> = {}): Promise<Stage> {
    const front = await Listener.open();
    return new Stage(await Listener.open(), front.server, front, options);
  }

  async caller(): Promise<Peer> {
    const socket = connect({ port: this.front.port, host: '127.0.0.3', allowHalfOpen: true, noDelay: true });
    this.#callers.push(socket);
    const peer = new Peer(socket);
    await once(socket, 'connect');
    return peer;
  }

  /** Sends a request and waits until the process has all of its head. */
  async request(text: string): Promise<{ caller: Peer; upstream: Peer }> {
    const caller = (await this.caller()).send(text);
    const upstream = await (await this.process.next()).has('\r\n\r\n');
    return { caller, upstream };
  }

  /** A caller that has had one answer, so that its connection, and one to the process, are known to stand. */
  async servedCaller(): Promise<Peer> {
    const { caller, upstream } = await this.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    upstream.send('HTTP/1.1 204 No Content\r\n\r\n');
    await caller.has('\r\n\r\n');
    caller.take();
    return caller;
  }

  async recorded(count: number): Promise<RequestRecord[]> {
    if (this.records.length < count) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${this.records.length} records`)), DEADLINE_MS);
        this.#recordWaiter = () => {
          if (this.records.length < count) return;
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.records;
  }

  async close(): Promise<void> {
    await this.proxy.close();
    for (const socket of this.#callers) socket.destroy();
    await this.front.close();
    await this.process.close();
  }
}

/** Runs `body` on a stage and closes it whatever happens; afterwards the proxy must hold nothing. */
export async function onStage(
  options: Partial<HttpProxyOptions>,
  body: (stage: Stage) => Promise<void>,
): Promise<void> {
  const stage = await Stage.open(options);
  try {
    await body(stage);
  } finally {
    await stage.close();
  }
  if (stage.proxy.openConnections !== 0) throw new Error('connections are left');
}
