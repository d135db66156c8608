const FIRST_DELAY_MS = 100;
export const RECONNECT_MAX_DELAY_MS = 5_000;

/** How long to wait before attempt `attempt` (0, 1, …): doubling, with full jitter above a half so that sessions spread. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(RECONNECT_MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 16));
  return full / 2 + random() * (full / 2);
}

/** While the streams of a lost tunnel wait: whoever has a network again is back within a second. */
export const REDIAL_MAX_DELAY_MS = 1_000;

/** The same for a tunnel that is to be brought back: at once, then as backoffMs(), but never long. */
export function redialMs(attempt: number, random: () => number = Math.random): number {
  return attempt === 0 ? 0 : Math.min(REDIAL_MAX_DELAY_MS, backoffMs(attempt - 1, random));
}

/** Waits; an abort ends the wait early and without an error. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

/**
 * Waits for `work`, at most `ms` and until the abort. Leaves no timer behind, which would keep the process from ending.
 * @throws what `work` throws in that time
 */
export async function atMost(work: Promise<unknown>, ms: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const onAbort = (): void => over.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    await Promise.race([work, pause(ms, over.signal)]);
  } finally {
    over.abort();
    signal.removeEventListener('abort', onAbort);
  }
}
