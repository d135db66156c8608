const FIRST_DELAY_MS = 100;
export const RECONNECT_MAX_DELAY_MS = 5_000;

/** How long to wait before attempt `attempt` (0, 1, …): doubling, with full jitter above a half so that sessions spread. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(RECONNECT_MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 16));
  return full / 2 + random() * (full / 2);
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
