export interface FirstOfOptions<T> {
  /** While no attempt has come to an end, another one begins this long after the last. */
  readonly everyMs: number;
  /** Of more, the oldest is given up. */
  readonly atOnce: number;
  /** What becomes of one that is too late. */
  readonly drop: (late: T) => void;
  readonly signal: AbortSignal;
}

/**
 * Tries the same again and again without waiting for what takes long: an attempt that was made while the network was away may
 * take many seconds to notice that it is back, a new one does not.
 * @returns what the first attempt that came to an end came to
 * @throws what it failed with; the signal's reason
 */
export async function firstOf<T>(
  attempt: (signal: AbortSignal) => Promise<T>,
  { everyMs, atOnce, drop, signal }: FirstOfOptions<T>,
): Promise<T> {
  signal.throwIfAborted();
  return await new Promise<T>((resolve, reject) => {
    const running: AbortController[] = [];
    let over = false;
    const end = (): void => {
      over = true;
      clearInterval(timer);
      signal.removeEventListener('abort', abort);
      for (const each of running) each.abort(new Error('another attempt was faster'));
    };
    const begin = (): void => {
      const own = new AbortController();
      running.push(own);
      if (running.length > atOnce) running.shift()?.abort(new Error('it takes too long'));
      const isOurs = (): boolean => !over && running.includes(own);
      attempt(own.signal).then(
        (result) => {
          if (!isOurs()) {
            drop(result);
            return;
          }
          end();
          resolve(result);
        },
        (error: unknown) => {
          if (!isOurs()) return;
          end();
          reject(error);
        },
      );
    };
    const abort = (): void => {
      end();
      reject(signal.reason);
    };
    const timer = setInterval(begin, everyMs);
    signal.addEventListener('abort', abort, { once: true });
    begin();
  });
}
