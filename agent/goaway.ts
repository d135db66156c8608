import type { Writable } from 'node:stream';
import type { FrameEnds } from '../src/http/h2/frame-ends.ts';
import { GOAWAY } from '../src/http/h2/frames.ts';

/** Puts a GOAWAY (RFC 9113 §6.8) between two frames of an HTTP/2 server whose bytes are passed on to a client. */
export class GoawayInsertion {
  readonly #client: Writable;
  readonly #frames: FrameEnds;
  #isDue = false;

  /** @param frames follows the server's bytes */
  constructor(client: Writable, frames: FrameEnds) {
    this.#client = client;
    this.#frames = frames;
  }

  /** The client is told to go: now, or where the frame that is under way ends. */
  request(): void {
    this.#isDue = true;
    if (this.#frames.isBetweenFrames) this.#say();
  }

  /** Passes on what the server said. @param chunk the one pushed to `frames` last @returns false: wait for 'drain' */
  pass(chunk: Buffer): boolean {
    const frameEnd = this.#isDue ? this.#frames.lastEnd : undefined;
    if (frameEnd === undefined) return this.#client.write(chunk);
    this.#client.write(chunk.subarray(0, frameEnd));
    this.#say();
    return this.#client.write(chunk.subarray(frameEnd));
  }

  #say(): void {
    this.#isDue = false;
    this.#client.write(GOAWAY);
  }
}
