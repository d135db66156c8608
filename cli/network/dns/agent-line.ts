import { withId } from '../../../src/dns/make.ts';
import { HEADER_BYTES } from '../../../src/dns/message.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { type Mux, type MuxStream, StreamResetError } from '../../../src/mux/mux.ts';
import { LengthPrefixReader, withLength } from '../../../src/net/length-prefix.ts';

/** Questions under way on one line; the ids would do for more. */
const MAX_QUESTIONS = 4096;
const IDS = 65_536;

/** The tunnel or the stream is over and did not answer: asking again over another one may. */
export class LineLostError extends Error {}

interface Waiting {
  readonly answer: (message: Buffer) => void;
  readonly fail: (error: Error) => void;
}

/** One `dns` stream: questions in any number, answers in any order, told apart by ids of our own. */
export class AgentLine {
  readonly mux: Mux;
  readonly #stream: MuxStream;
  readonly #reader = new LengthPrefixReader();
  readonly #waiting = new Map<number, Waiting>();
  #nextId = Math.floor(Math.random() * IDS);
  #retired = false;

  /** @throws LineLostError when the tunnel is over; InterceptorError STREAM_LIMIT */
  constructor(mux: Mux) {
    this.mux = mux;
    try {
      this.#stream = mux.open({ kind: 'dns', host: '', port: 0 });
    } catch (error) {
      if (error instanceof InterceptorError && error.code === 'TUNNEL_LOST') throw new LineLostError(error.message);
      throw error;
    }
    this.#stream.on('data', (chunk: Buffer) => {
      for (const message of this.#reader.push(chunk)) this.#receive(message);
    });
    this.#stream.once('end', () => this.#stream.destroy());
    this.#stream.once('close', () => this.#failAll(whyClosed(this.#stream)));
  }

  get usable(): boolean {
    return !this.#retired && !this.#stream.destroyed && !this.#stream.readableEnded;
  }

  /** @throws LineLostError; Error when the agent serves no DNS, or too much is under way; the signal's reason */
  ask(message: Buffer, signal: AbortSignal): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (!this.usable) return reject(new LineLostError('the stream is over'));
      if (this.#waiting.size >= MAX_QUESTIONS) return reject(new Error('too many questions under way'));
      const id = this.#freeId();
      const done = (): void => {
        this.#waiting.delete(id);
        signal.removeEventListener('abort', abort);
        if (this.#retired && this.#waiting.size === 0) this.#stream.end();
      };
      const abort = (): void => {
        done();
        reject(signal.reason);
      };
      this.#waiting.set(id, {
        answer: (answer) => {
          done();
          resolve(answer);
        },
        fail: (error) => {
          done();
          reject(error);
        },
      });
      signal.addEventListener('abort', abort, { once: true });
      this.#stream.write(withLength(withId(message, id)));
    });
  }

  /** Takes no more questions; ends when those under way are answered. */
  retire(): void {
    this.#retired = true;
    if (this.#waiting.size === 0) this.#stream.end();
  }

  close(): void {
    this.#retired = true;
    this.#failAll(new Error('closed'));
    this.#stream.destroy();
  }

  #freeId(): number {
    while (this.#waiting.has(this.#nextId)) this.#nextId = (this.#nextId + 1) % IDS;
    const id = this.#nextId;
    this.#nextId = (id + 1) % IDS;
    return id;
  }

  #receive(message: Buffer): void {
    if (message.length < HEADER_BYTES) return;
    this.#waiting.get(message.readUInt16BE(0))?.answer(Buffer.from(message)); // else too late
  }

  #failAll(error: Error): void {
    for (const { fail } of [...this.#waiting.values()]) fail(error);
  }
}

function whyClosed(stream: MuxStream): Error {
  const { resetReason } = stream;
  if (resetReason === undefined || resetReason === 'gone' || resetReason === 'reset') {
    return new LineLostError('the stream ended');
  }
  return new StreamResetError(resetReason);
}
