import { Duplex } from 'node:stream';
import type { Outgoing } from '../types.ts';

/** Two ends of a connection inside this program: half-open, with backpressure, and a reset of one is a reset of the other. */
export function duplexPair(): [Outgoing, Outgoing] {
  const [a, b] = [new PairEnd(), new PairEnd()];
  a.joinTo(b);
  b.joinTo(a);
  return [a, b];
}

class PairEnd extends Duplex implements Outgoing {
  #other: PairEnd | undefined;
  /** The other end waits with its next write until we are read. */
  #written: ((error?: Error) => void) | undefined;

  constructor() {
    super({ allowHalfOpen: true });
    this.on('error', () => {}); // 'close' follows
  }

  joinTo(other: PairEnd): void {
    this.#other = other;
  }

  resetAndDestroy(): this {
    return this.destroy();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    const other = this.#other;
    if (other === undefined || other.destroyed) done(reset());
    else if (other.push(chunk)) done();
    else other.#written = done;
  }

  override _final(done: () => void): void {
    this.#other?.push(null);
    done();
  }

  override _read(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const other = this.#other;
    const written = this.#written;
    this.#written = undefined;
    written?.(reset());
    // Closed before both directions had ended: the other end must not take it for an end.
    if (other !== undefined && !(this.writableFinished && this.readableEnded)) other.destroy(reset());
    done(error);
  }
}

function reset(): Error {
  return Object.assign(new Error('connection reset'), { code: 'ECONNRESET' });
}
