import type { Duplex } from 'node:stream';

/**
 * Whether a socket's error is one that no 'close' follows: resetAndDestroy() waits for the writes, and a destroy() or a read
 * error meanwhile makes it reset a socket that is being shut down, which libuv refuses (EINVAL); Node 20 to 26 then emit
 * 'error' with syscall `reset` and nothing more. Whoever waits for 'close' would wait for ever.
 */
export function isFailedReset(error: NodeJS.ErrnoException): boolean {
  return error.syscall === 'reset';
}

/** Lets a socket say 'close' after a failed reset all the same. Takes the place of an 'error' listener. */
export function closeAfterFailedReset(socket: Duplex): void {
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (isFailedReset(error)) socket.emit('close', true);
  });
}
