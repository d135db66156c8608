import { connect, type Socket } from 'node:net';
import type { Settings } from './settings.ts';

export interface Answer {
  readonly id: number;
  readonly code?: string;
  readonly port?: number;
  readonly addresses?: readonly { readonly address: string; readonly family: 4 | 6 }[];
}

type Settle = (answer: Answer) => void;

/** The line to the proxy port: requests and answers as in proxy/control.ts. Keeps the process alive only while one is open. */
export class ControlLine {
  readonly #settings: Settings;
  #socket: Socket | undefined;
  #nextId = 1;
  readonly #waiting = new Map<number, Settle>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** @param done with what the port answers; code EHOSTUNREACH when the session has ended */
  request(body: object, done: Settle): void {
    const id = this.#nextId++;
    this.#socket ??= this.#open();
    this.#socket.ref();
    this.#waiting.set(id, done);
    this.#socket.write(`${JSON.stringify({ id, ...body })}\n`);
  }

  #open(): Socket {
    const { port, user, password } = this.#settings;
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    const name = Buffer.from(user);
    const secret = Buffer.from(password);
    // Greeting, password and command in one go: nothing in between depends on the answers.
    const hello = [5, 1, 2, 1, name.length, ...name, secret.length, ...secret, 5, 0xf0, 0, 1, 0, 0, 0, 0, 0, 0];
    socket.write(Buffer.from(hello));
    const ANSWER_BYTES = 2 + 2 + 10;
    let head = Buffer.alloc(0);
    let rest = '';
    const take = (text: string): void => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#settle(JSON.parse(line) as Answer);
    };
    socket.on('data', (chunk: Buffer) => {
      const missing = ANSWER_BYTES - head.length;
      if (missing > 0) {
        head = Buffer.concat([head, chunk.subarray(0, missing)]);
        if (head.length >= 4 && head[3] !== 0) socket.destroy();
        if (chunk.length <= missing) return;
      }
      take(chunk.subarray(Math.max(0, missing)).toString('utf8'));
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      for (const id of [...this.#waiting.keys()]) this.#settle({ id, code: 'EHOSTUNREACH' });
    });
    return socket;
  }

  #settle(answer: Answer): void {
    const settle = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#socket?.unref();
    settle?.(answer);
  }
}
