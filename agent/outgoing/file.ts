import type { FileHandle } from 'node:fs/promises';
import type { MuxStream } from '../../src/mux/mux.ts';
import { LengthPrefixReader } from '../../src/net/length-prefix.ts';
import { MAX_PATH_BYTES } from '../limits.ts';
import { FileRefusal, openVolumeFile } from '../volumes/file.ts';
import type { VolumeRoot } from '../volumes/roots.ts';

const CHUNK_BYTES = 64 * 1024;

/**
 * Serves a stream of kind `file`: the path there, the content back, as long as it was when it was opened.
 * @param turn waits until a file may be opened; its result gives the place back
 * @returns once the stream is closed or all is sent; never rejects
 */
export async function serveFile(
  stream: MuxStream,
  roots: () => Promise<readonly VolumeRoot[]>,
  turn: () => Promise<() => void>,
): Promise<void> {
  const path = await readPath(stream);
  if (stream.destroyed) return;
  if (path === undefined) {
    stream.refuse('not-found');
    return;
  }
  const giveBack = await turn();
  try {
    if (stream.destroyed) return;
    const { handle, size } = await openVolumeFile(await roots(), path);
    try {
      stream.accept();
      await send(handle, size, stream);
    } finally {
      await handle.close();
    }
  } catch (failure) {
    stream.refuse(failure instanceof FileRefusal ? failure.reason : 'unreachable'); // EIO
  } finally {
    giveBack();
  }
}

/** @returns undefined when the stream ends before there is a whole one, or it is no path */
function readPath(stream: MuxStream): Promise<string | undefined> {
  const reader = new LengthPrefixReader();
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      const [message] = reader.push(chunk);
      if (message !== undefined) resolve(message.byteLength > MAX_PATH_BYTES ? undefined : pathOf(message));
    });
    stream.on('end', () => resolve(undefined));
    stream.on('close', () => resolve(undefined));
  });
}

function pathOf(message: Buffer): string | undefined {
  const path = message.toString('utf8');
  return path.startsWith('/') && !path.includes('\0') && Buffer.from(path).equals(message) ? path : undefined;
}

async function send(handle: FileHandle, size: number, stream: MuxStream): Promise<void> {
  for (let at = 0; at < size && !stream.destroyed; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, at);
    if (bytesRead === 0) break; // it has become shorter
    at += bytesRead;
    if (!stream.write(buffer.subarray(0, bytesRead))) await drained(stream);
  }
  stream.end();
}

function drained(stream: MuxStream): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      stream.off('drain', settle);
      stream.off('close', settle);
      resolve();
    };
    if (stream.destroyed) resolve();
    stream.on('drain', settle);
    stream.on('close', settle);
  });
}
