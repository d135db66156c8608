import type { Socket } from 'node:net';

/**
 * Lets a socket say 'close' where Node forgets to: resetAndDestroy() waits for the writes, and a destroy() or a read error
 * meanwhile makes it reset a socket that is being shut down, which libuv refuses (EINVAL); Node 20 to 26 then emit 'error'
 * with syscall `reset` and nothing more. Whoever waits for 'close' would wait for ever. Takes the place of an 'error' listener.
 */
export function closeAfterFailedReset(socket: Socket): void {
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.syscall === 'reset') socket.emit('close', true);
  });
}
