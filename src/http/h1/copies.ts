import { MAX_MIRROR_BYTES, type Mirror, type Resettable } from '../routing.ts';

interface Copy {
  readonly mirror: Mirror;
  readonly stream: Resettable;
}

/**
 * The copies of one request. They never hold the caller up: who takes the bytes too slowly, or is gone, loses the copy, and
 * is told by dropped(). Each stream belongs to who takes it once the whole request is on it; its answers are read and forgotten.
 */
export class Copies {
  #copies: Copy[] = [];

  constructor(mirrors: readonly Mirror[]) {
    for (const mirror of mirrors) this.#open(mirror);
  }

  /** Sends bytes of the request to all. */
  write(bytes: Buffer): void {
    if (bytes.byteLength === 0) return;
    for (const { stream } of this.#copies) {
      if (stream.writableLength + bytes.byteLength > MAX_MIRROR_BYTES) stream.resetAndDestroy();
      else if (!stream.destroyed) stream.write(bytes);
    }
    // A copy that is lost is left out in its 'close', or here when that is still to come.
    if (this.#copies.some(({ stream }) => stream.destroyed)) this.#drop(({ stream }) => stream.destroyed);
  }

  /** The request is whole. */
  end(): void {
    const copies = this.#copies;
    this.#copies = [];
    for (const { stream } of copies) stream.end();
  }

  /** The request was cut. */
  cut(): void {
    for (const { stream } of this.#copies) stream.resetAndDestroy();
    this.#drop(() => true);
  }

  #open(mirror: Mirror): void {
    const stream = mirror.open();
    if (stream === undefined) {
      mirror.dropped();
      return;
    }
    stream.on('error', () => {}); // 'close' follows
    stream.on('close', () => this.#drop((copy) => copy.stream === stream));
    stream.resume();
    this.#copies.push({ mirror, stream });
  }

  #drop(which: (copy: Copy) => boolean): void {
    const dropped = this.#copies.filter(which);
    if (dropped.length === 0) return;
    this.#copies = this.#copies.filter((copy) => !dropped.includes(copy));
    for (const { mirror } of dropped) mirror.dropped();
  }
}

export const NO_COPIES = new Copies([]);
