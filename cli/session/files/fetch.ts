import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Mux } from '../../../src/mux/mux.ts';
import { type MuxStream, StreamResetError } from '../../../src/mux/stream.ts';

/** A file of which nothing comes for this long (a dead NFS server behind the pod) is unreadable. */
const SILENCE_MS = 20_000;

/** What came of one file; disk errors, a lost tunnel and the signal are thrown. */
export type Fetched =
  | { readonly state: 'copied'; readonly bytes: number; readonly hash: string }
  | { readonly state: 'vanished' }
  | { readonly state: 'too-large' }
  | { readonly state: 'unreadable' };

/**
 * Copies one file of the app's volumes through the tunnel into `target`, which must not exist.
 * @param mode permission bits of the copy
 * @param maxBytes more than this is 'too-large': a file may have grown since it was listed
 */
export async function fetchFile(
  mux: Mux,
  path: string,
  target: { readonly path: string; readonly mode: number },
  maxBytes: number,
  signal: AbortSignal,
): Promise<Fetched> {
  signal.throwIfAborted();
  const stream = mux.open({ kind: 'file', host: '', port: 0 });
  const abort = (): void => void stream.destroy(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    const name = Buffer.from(path);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(name.byteLength);
    stream.end(Buffer.concat([length, name]));
    return await receive(stream, target, maxBytes);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof Silence) return { state: 'unreadable' };
    if (!(error instanceof StreamResetError) || error.reason === 'gone') throw error;
    return { state: error.reason === 'not-found' ? 'vanished' : 'unreadable' };
  } finally {
    signal.removeEventListener('abort', abort);
    stream.destroy();
  }
}

async function receive(
  stream: MuxStream,
  target: { readonly path: string; readonly mode: number },
  maxBytes: number,
): Promise<Fetched> {
  const hash = createHash('sha256');
  let bytes = 0;
  const timer = setTimeout(() => stream.destroy(new Silence()), SILENCE_MS);
  const file = await open(target.path, 'wx', 0o600);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      timer.refresh();
      bytes += chunk.byteLength;
      if (bytes > maxBytes) return { state: 'too-large' };
      hash.update(chunk);
      await writeAll(file, chunk);
    }
    await file.chmod(target.mode);
  } finally {
    clearTimeout(timer);
    await file.close();
  }
  return { state: 'copied', bytes, hash: hash.digest('base64') };
}

/** write(2) may take a part when the disk is nearly full; the next call says ENOSPC. */
async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Buffer): Promise<void> {
  let at = 0;
  while (at < chunk.byteLength) at += (await file.write(chunk, at)).bytesWritten;
}

class Silence extends Error {}
