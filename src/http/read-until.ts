import type { Resettable } from './routing.ts';

/** What is heard of a side while its first bytes are read. */
export interface FirstBytesListener {
  readonly data: (chunk: Buffer) => void;
  readonly end: () => void;
  readonly close: () => void;
}

/**
 * Lets a side flow until it is clear what comes.
 * @returns to be called then: the side is paused, and nothing is listened to any more
 */
export function readUntil(side: Resettable, listener: FirstBytesListener): () => void {
  const { data, end, close } = listener;
  side.on('data', data);
  side.on('end', end);
  side.on('close', close);
  side.resume();
  return () => {
    side.pause();
    side.off('data', data);
    side.off('end', end);
    side.off('close', close);
  };
}
