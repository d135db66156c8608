import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { encodeFrame, FrameReader, type HelperFrame } from './frames.ts';
import type { ListeningSocket } from './listening-sockets.ts';
import type { Programs } from './programs.ts';

const START_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 2_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Datagrams that wait for the helper; more are lost, as in a network. */
const MAX_WAITING_BYTES = 8 << 20;

/** What inside/serve.py reads from its stdin. */
export interface HelperTask {
  readonly nft: string;
  readonly ip: string;
  /** Of every interface that matters to the command: where its connections seem to come from. */
  readonly address: string;
  readonly nameserver: string;
  readonly acceptor: string;
  readonly acceptorV6: string;
  readonly acceptorPort: number;
  readonly resolvConf: string;
  /** Other files that hold the same as resolv.conf. */
  readonly resolvConfCopies: readonly string[];
  readonly nsswitchConf: string | null;
  readonly mounts: readonly { readonly source: string; readonly target: string }[];
  /** Set everything up, say how it went, and end. */
  readonly probe: boolean;
}

/** A step that failed inside, by its name in inside/serve.py. */
export class HelperFailure extends Error {
  readonly step: string;

  constructor(step: string, message: string) {
    super(message);
    this.name = 'HelperFailure';
    this.step = step;
  }
}

/** Sockets of the inner network that are used from outside. */
export interface HandedOver {
  readonly acceptors: readonly Server[];
  readonly dnsServer: Server;
  readonly dnsSocket: DatagramSocket;
}

/** The process inside: keeps the namespaces, works at their network. */
export class Helper {
  readonly pid: number;
  readonly warnings: readonly string[];
  readonly sockets: HandedOver;
  /** Frames that are not answers to a call of ours. */
  onFrame: (frame: HelperFrame) => void = () => {};
  /** With what it said last, when it ended. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #frames: Duplex;
  readonly #connecting = new Map<number, { resolve(socket: Socket): void; reject(why: Error): void }>();
  #nextConnect = 1;
  #gone = false;
  #asking: { resolve(text: string): void; reject(why: Error): void } | undefined;

  private constructor(started: Started, ready: { pid: number; warnings: string[] }, sockets: HandedOver) {
    this.pid = ready.pid;
    this.warnings = ready.warnings;
    this.sockets = sockets;
    this.ended = started.ended;
    this.#child = started.child;
    this.#frames = started.frames;
    started.onFrame = (frame) => this.#take(frame);
    started.onHandle = (message, handle) => this.#takeSocket(message, handle);
    void this.ended.then(() => {
      this.#gone = true;
      for (const { reject } of this.#connecting.values()) reject(new Error('the namespace is gone'));
      this.#connecting.clear();
      this.#asking?.reject(new Error('the namespace is gone'));
    });
  }

  /**
   * @param folder of serve.py
   * @throws HelperFailure
   */
  static async start(programs: Programs, task: HelperTask, folder: string = insideFolder()): Promise<Helper> {
    const started = new Started(programs.python3, `${folder}/serve.py`);
    try {
      const { ready, sockets } = await started.untilReady(task);
      return new Helper(started, ready, sockets);
    } catch (cause) {
      await started.kill();
      throw cause;
    }
  }

  /** Sets everything up and ends. @throws HelperFailure when it does not work here */
  static async probe(programs: Programs, task: HelperTask, folder: string = insideFolder()): Promise<void> {
    const started = new Started(programs.python3, `${folder}/serve.py`);
    try {
      await started.untilReady({ ...task, probe: true });
    } finally {
      await started.kill();
    }
  }

  /** Sends a frame; `lossy` ones are dropped when many wait. */
  send(words: readonly string[], payload?: Buffer, lossy = false): void {
    if (this.#frames.destroyed || (lossy && this.#frames.writableLength > MAX_WAITING_BYTES)) return;
    this.#frames.write(encodeFrame(words, payload));
  }

  /** Connects to what listens inside. @throws Error with the code of connect(2) */
  async connect(address: string, port: number): Promise<Socket> {
    if (this.#gone) throw new Error('the namespace is gone');
    const id = this.#nextConnect++;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Socket>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error('no answer from inside')), CONNECT_TIMEOUT_MS);
        this.#connecting.set(id, { resolve, reject });
        this.send(['connect', String(id), address, String(port)]);
      });
    } finally {
      clearTimeout(timer);
      this.#connecting.delete(id);
    }
  }

  /** Ends it; the namespaces go with the last process in them. */
  async close(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    this.#frames.destroy();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), END_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }

  /**
   * The TCP sockets inside that wait for peers.
   * @returns undefined where the kernel does not tell
   * @throws Error when the namespace is gone
   */
  async listeners(): Promise<readonly ListeningSocket[] | undefined> {
    if (this.#gone) throw new Error('the namespace is gone');
    this.send(['listeners']);
    const text = await new Promise<string>((resolve, reject) => {
      this.#asking = { resolve, reject };
    });
    const found: [string, number][] | null = JSON.parse(text);
    return found?.map(([address, port]) => ({ kind: 'tcp', address: address.replace(/^::ffff:(?=.*\.)/, ''), port }));
  }

  #take(frame: HelperFrame): void {
    const [kind, id, code] = frame.words;
    if (kind === 'listeners') {
      this.#asking?.resolve(frame.payload.toString());
      return;
    }
    if (kind !== 'unconnected') {
      this.onFrame(frame);
      return;
    }
    const why = Object.assign(new Error(`connect inside: ${code}`), { code });
    this.#connecting.get(Number(id))?.reject(why);
  }

  #takeSocket(message: unknown, handle: unknown): void {
    if (!(handle instanceof Socket)) return;
    handle.allowHalfOpen = true;
    const id = typeof message === 'object' && message !== null && 'id' in message ? Number(message.id) : 0;
    const waiting = this.#connecting.get(id);
    if (waiting === undefined)
      handle.destroy(); // too late
    else waiting.resolve(handle);
  }
}

/** The child before and after it is ready. */
class Started {
  readonly child: ChildProcess;
  readonly frames: Duplex;
  readonly ended: Promise<string>;
  onFrame: (frame: HelperFrame) => void = () => {};
  onHandle: (message: unknown, handle: unknown) => void = () => {};
  #said = '';

  constructor(python3: string, script: string) {
    // In a session of its own: the terminal's Ctrl-C is for the command. -I -S: nothing of the user's Python, 10 ms faster.
    this.child = spawn(python3, ['-I', '-S', '-B', script], {
      stdio: ['pipe', 'ignore', 'pipe', 'ipc', 'pipe'],
      detached: true,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
    });
    this.frames = this.child.stdio[4] as Duplex;
    const reader = new FrameReader();
    this.frames.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) this.onFrame(frame);
    });
    for (const stream of [this.frames, this.child.stdin]) stream?.on('error', () => {}); // EPIPE: 'exit' tells
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-2_000);
    });
    this.child.on('message', (message, handle) => this.onHandle(message, handle));
    this.ended = new Promise((resolve) => {
      this.child.once('error', (cause) => resolve(cause.message));
      // Not 'close': after disconnect() it does not come (Node 20.20).
      const exited = once(this.child, 'exit');
      const silent = this.child.stderr === null ? exited : once(this.child.stderr, 'close');
      Promise.all([exited, silent]).then(
        () => resolve(this.#said.trim()),
        () => {}, // 'error' has told
      );
    });
  }

  async untilReady(task: HelperTask): Promise<{ ready: { pid: number; warnings: string[] }; sockets: HandedOver }> {
    const servers = new Map<string, Server>();
    let dnsSocket: DatagramSocket | undefined;
    let timer: NodeJS.Timeout | undefined;
    const ready = await new Promise<{ pid: number; warnings: string[] }>((resolve, reject) => {
      let answer: { pid: number; warnings: string[] } | undefined;
      const resolveWhenComplete = (): void => {
        if (answer === undefined) return;
        if (task.probe || (servers.has('tproxy') && servers.has('dns') && dnsSocket !== undefined)) resolve(answer);
      };
      this.onHandle = (message, handle) => {
        const name = typeof message === 'object' && message !== null && 'name' in message ? String(message.name) : '';
        if (handle instanceof Server) servers.set(name, handle);
        else if (name === 'dns') dnsSocket = handle as DatagramSocket;
        resolveWhenComplete();
      };
      this.onFrame = ({ words, payload }) => {
        const value: unknown = JSON.parse(payload.toString());
        if (words[0] === 'failed') {
          const { step, message } = value as { step: string; message: string };
          reject(new HelperFailure(step, message));
        } else if (words[0] === 'ready') {
          answer = value as { pid: number; warnings: string[] };
          resolveWhenComplete();
        }
      };
      timer = setTimeout(() => reject(new HelperFailure('start', 'no answer')), START_TIMEOUT_MS);
      void this.ended.then((said) => reject(new HelperFailure('start', said.split('\n').at(-1) ?? '')));
      this.child.stdin?.end(`${JSON.stringify(task)}\n`);
    }).finally(() => clearTimeout(timer));
    const acceptors = ['tproxy', 'tproxy6'].flatMap((name) => servers.get(name) ?? []);
    const dnsServer = servers.get('dns') ?? new Server();
    return { ready, sockets: { acceptors, dnsServer, dnsSocket: dnsSocket as DatagramSocket } };
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    this.frames.destroy();
    await this.ended;
  }
}

/** inside/ lies beside this file, and beside the bundle's entries. */
export function insideFolder(): string {
  const here = import.meta.url;
  return fileURLToPath(new URL(here.includes('/chunks/') ? '../inside' : './inside', here));
}
