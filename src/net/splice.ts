import { addAbortListener } from 'node:events';
import type { Duplex } from 'node:stream';
import { confirmEnd } from './confirm-end.ts';
import { isFailedReset } from './failed-reset.ts';

/** A half-open duplex that can tell its peer of a failure: net.Socket, MuxStream. */
export type Resettable = Duplex & { resetAndDestroy(): unknown };

/**
 * Joins two half-open duplexes until both directions have ended. A failure of one is a reset of the other: a plain
 * destroy() would send a FIN, and a reply cut short would look complete. By hand: stream.pipeline() costs a third of the
 * requests per second (LIBRARIES.md, http-proxy table) and passes a reset on as an end (confirm-end.ts).
 * @param signal the connection's own (AbortGroup): one for all would cost more with each that is open
 * @throws what failed first; the signal's reason when aborted. Both are destroyed by then
 */
export async function splice(a: Resettable, b: Resettable, signal: AbortSignal): Promise<void> {
  let failure: unknown;
  const resetBoth = (reason: unknown): void => {
    failure ??= reason;
    a.resetAndDestroy();
    b.resetAndDestroy();
  };
  const closed = [a, b].map((side) => untilClosed(side, resetBoth));
  using _ = addAbortListener(signal, () => resetBoth(signal.reason));
  if (signal.aborted) resetBoth(signal.reason);
  else if (a.destroyed || b.destroyed) resetBoth(new Error('closed before it could be joined'));
  else {
    pump(a, b);
    pump(b, a);
  }
  await Promise.all(closed);
  if (failure !== undefined) throw failure;
}

function pump(from: Resettable, to: Resettable): void {
  from.on('data', (chunk: Buffer) => {
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  if (from.readableEnded)
    to.end(); // before it was joined, without a byte
  else from.on('end', () => confirmEnd(from, () => to.end()));
}

/** Resolves when the side is closed; one that did not come to both its ends has failed. */
async function untilClosed(side: Resettable, onFailure: (reason: unknown) => void): Promise<void> {
  if (side.closed) return;
  await new Promise<void>((resolve) => {
    side.on('error', (error: NodeJS.ErrnoException) => {
      onFailure(error);
      if (isFailedReset(error)) resolve(); // no 'close' will follow
    });
    side.once('close', () => {
      if (!side.readableEnded || !side.writableFinished) onFailure(side.errored ?? new Error('connection reset'));
      resolve();
    });
  });
}
