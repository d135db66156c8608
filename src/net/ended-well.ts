import type { Duplex } from 'node:stream';

/** Whether all that was sent to and by this side has passed. */
export function endedWell(side: Duplex): boolean {
  return side.readableEnded && side.writableFinished && side.errored === null;
}
