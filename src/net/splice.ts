import { addAbortListener, setMaxListeners } from 'node:events';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A half-open duplex that can tell its peer of a failure: net.Socket, MuxStream. */
export type Resettable = Duplex & { resetAndDestroy(): unknown };

/**
 * Joins two half-open duplexes until both directions have ended. A failure of one is a reset of the other: a plain
 * destroy() would send a FIN, and a reply cut short would look complete.
 * @throws what failed first; the signal's reason when aborted. Both are destroyed by then
 */
export async function splice(a: Resettable, b: Resettable, signal: AbortSignal): Promise<void> {
  const resetBoth = (): void => {
    a.resetAndDestroy();
    b.resetAndDestroy();
  };
  // Before pipeline(), which only destroys.
  for (const end of [a, b]) {
    for (const event of ['error', 'close'] as const) {
      end.once(event, () => {
        if (!end.readableEnded || !end.writableFinished) resetBoth();
      });
    }
  }
  if (signal.aborted || a.destroyed || b.destroyed) resetBoth();
  setMaxListeners(0, signal); // one for each open connection is no leak: Node would warn on the user's terminal from the 11th on
  using _ = addAbortListener(signal, resetBoth);
  try {
    await Promise.all([pipeline(a, b), pipeline(b, a)]);
  } catch (cause) {
    throw signal.aborted ? signal.reason : cause;
  }
}
