import { createCipheriv, createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { confirmEnd } from '../../../src/net/confirm-end.ts';

const CHUNK_BYTES = 64 * 1024;

/** Bytes that look random and are the same for the same name on both sides: no place in them is like another. */
export function* keystream(name: string, totalBytes: number): Generator<Buffer, void> {
  const cipher = createCipheriv('aes-128-ctr', createHash('md5').update(name).digest(), Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  for (let left = totalBytes; left > 0; left -= CHUNK_BYTES) {
    yield cipher.update(left < CHUNK_BYTES ? zeros.subarray(0, left) : zeros);
  }
}

/** Counts and hashes bytes in passing. */
export class Digest {
  readonly #hash = createHash('sha256');
  bytes = 0;

  add(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.bytes += chunk.byteLength;
  }

  /** Ends it. */
  result(): { readonly bytes: number; readonly sha256: string } {
    return { bytes: this.bytes, sha256: this.#hash.copy().digest('hex') };
  }
}

/** The digest of a whole keystream, or of its beginning. */
export function keystreamDigest(name: string, bytes: number): { readonly bytes: number; readonly sha256: string } {
  const digest = new Digest();
  for (const chunk of keystream(name, bytes)) digest.add(chunk);
  return digest.result();
}

/**
 * Writes chunks as fast as the other side takes them, and does not end.
 * @param onStalled called once, when nothing was taken for `stallMs`; `isOver` ends the writing early
 */
export async function writeAll(
  stream: Duplex,
  chunks: Iterable<Buffer>,
  options: { onStalled?: (bytes: number) => void; stallMs?: number; isOver?: () => boolean } = {},
): Promise<Digest> {
  const { stallMs = 1500, isOver = () => false } = options;
  let { onStalled } = options;
  const digest = new Digest();
  for (const chunk of chunks) {
    if (stream.destroyed || isOver()) break;
    digest.add(chunk);
    if (stream.write(chunk)) continue;
    const timer = setTimeout(() => {
      onStalled?.(digest.bytes);
      onStalled = undefined;
    }, stallMs);
    await new Promise<void>((resolve) => {
      const done = (): void => {
        stream.off('drain', done);
        stream.off('close', done);
        resolve();
      };
      stream.on('drain', done);
      stream.on('close', done);
    });
    clearTimeout(timer);
  }
  return digest;
}

/** Reads until the other side has ended, or `limitBytes`. Rejects with the connection's error: a reset is no end. */
export async function readAll(stream: Duplex, limitBytes = Number.POSITIVE_INFINITY): Promise<Digest> {
  const digest = new Digest();
  await new Promise<void>((resolve, reject) => {
    stream.resume(); // readLine() pauses
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('closed before its end')));
    stream.on('end', () => confirmEnd(stream, resolve));
    stream.on('data', (chunk: Buffer) => {
      const left = limitBytes - digest.bytes;
      digest.add(chunk.byteLength > left ? chunk.subarray(0, left) : chunk);
      if (digest.bytes < limitBytes) return;
      stream.pause();
      resolve();
    });
  });
  return digest;
}

/** How the other side ends the connection: `end`, or the code of the error. What it still sends is dropped. */
export async function howItEnds(stream: Duplex): Promise<string> {
  return await new Promise((resolve) => {
    stream.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    stream.on('end', () => confirmEnd(stream, () => resolve('end')));
    stream.on('close', () => resolve('closed without a word'));
    stream.resume();
  });
}

/** The first line; what follows it is still to be read from the stream, which is paused. */
export async function readLine(stream: Duplex): Promise<string> {
  return await new Promise((resolve, reject) => {
    let head = Buffer.alloc(0);
    const failed = (cause?: Error): void => reject(cause ?? new Error('closed before the end of the line'));
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const at = head.indexOf('\n');
      if (at < 0) return;
      for (const [event, handler] of [
        ['data', onData],
        ['error', failed],
        ['end', failed],
      ] as const)
        stream.off(event, handler);
      stream.pause();
      if (head.byteLength > at + 1) stream.unshift(head.subarray(at + 1));
      resolve(head.subarray(0, at).toString());
    };
    stream.on('data', onData);
    stream.on('error', failed);
    stream.on('end', failed);
    stream.resume(); // an earlier readLine() paused it
  });
}
