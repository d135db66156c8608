import { constants } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { systemErrorCode } from '../../src/errors.ts';
import type { ResetReason } from '../../src/protocol/frames.ts';
import { isMissing, resolvePath } from './resolve.ts';
import type { VolumeRoot } from './roots.ts';

/** Why a file is not given: the reason that its stream is refused with. */
export class FileRefusal extends Error {
  readonly reason: ResetReason;

  constructor(reason: ResetReason) {
    super(`the file is ${reason}`);
    this.name = 'FileRefusal';
    this.reason = reason;
  }
}

/**
 * Opens a file of the app's volumes for reading.
 * @param path the app's
 * @returns the caller closes the handle
 * @throws FileRefusal not-found: no plain file there, or outside the volumes; unreachable: not readable; limit
 */
export async function openVolumeFile(
  roots: readonly VolumeRoot[],
  path: string,
): Promise<{ readonly handle: FileHandle; readonly size: number }> {
  let handle: FileHandle | undefined;
  try {
    const target = await resolvePath(roots, path);
    if (target === undefined) throw new FileRefusal('not-found');
    // NONBLOCK: a FIFO without a writer would hold a thread for ever.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    handle = await open(target.place, flags);
    const stats = await handle.stat();
    if (!stats.isFile() || !(await isInside(roots, handle))) throw new FileRefusal('not-found');
    return { handle, size: stats.size };
  } catch (failure) {
    await handle?.close();
    if (failure instanceof FileRefusal) throw failure;
    throw new FileRefusal(reasonOf(failure));
  }
}

/** Asks the kernel what was opened: the app may have put a link in the way since the path was looked at. */
async function isInside(roots: readonly VolumeRoot[], handle: FileHandle): Promise<boolean> {
  const opened = await readlink(`/proc/self/fd/${handle.fd}`);
  return roots.some(({ place }) => opened === place || opened.startsWith(`${place}/`));
}

function reasonOf(failure: unknown): ResetReason {
  if (isMissing(failure) || systemErrorCode(failure) === 'ENXIO') return 'not-found'; // ENXIO: a socket
  const code = systemErrorCode(failure);
  return code === 'EMFILE' || code === 'ENFILE' ? 'limit' : 'unreachable';
}
