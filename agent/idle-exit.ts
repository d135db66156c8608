const MAX_CHECK_MS = 15_000;

/**
 * Tells once when no session has used the agent for `exitIdleMs`. A pod made for one session ends itself by this when its
 * laptop is gone for good.
 * @param idleMs how long nobody has used the agent
 * @returns stops looking
 */
export function whenIdle(idleMs: () => number, exitIdleMs: number, onIdle: () => void): () => void {
  const timer = setInterval(
    () => {
      if (idleMs() < exitIdleMs) return;
      clearInterval(timer);
      onIdle();
    },
    Math.min(MAX_CHECK_MS, exitIdleMs / 4),
  );
  return () => clearInterval(timer);
}
