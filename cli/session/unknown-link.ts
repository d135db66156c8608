/** Each end finds a silent carrier dead by itself: about where the limit is, nobody knows which came first. */
const APART_MS = 4_000;

/**
 * Why an agent has nothing of a tunnel any more, as far as the session can tell.
 * @param awayMs how long it had no carrier, standstills of the laptop included
 * @param resumeMs how long the agent was to wait
 */
export function whyUnknown(awayMs: number, resumeMs: number): string {
  const [away, resume] = [`${Math.round(awayMs / 1000)} s`, `${resumeMs / 1000} s`];
  if (awayMs > resumeMs) return `the tunnel was away for ${away}, and the agent waits for ${resume} (--resume)`;
  if (awayMs > resumeMs - APART_MS)
    return `the tunnel was away for ${away} of the ${resume} that the agent waits (--resume), or the agent was restarted`;
  return `the agent has not kept this tunnel for the ${away} that it was away: it was restarted, ended the session or had too many to wait for`;
}
