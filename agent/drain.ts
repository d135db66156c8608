import { DRAIN_LINGER_MS, DRAIN_POLL_MS } from './limits.ts';
import { readListeningPorts } from './listening-ports.ts';

export interface DrainSource {
  readonly openConnections: number;
  /** App ports whose callers a laptop answers now. */
  laptopPorts(): readonly number[];
  readonly appPorts: readonly number[];
}

/**
 * Waits until the agent of a pod that is being stopped may go: nobody is connected, and either nothing could answer a new
 * caller (the app has stopped listening and no laptop stands in) or every caller has had the time to hear that the
 * pod is gone. Kubernetes takes a pod out of its Services while it stops it, not before.
 */
export async function drained(source: DrainSource, signal: AbortSignal, lingerMs = DRAIN_LINGER_MS): Promise<void> {
  const lingerUntilMs = Date.now() + lingerMs;
  while (!signal.aborted) {
    if (source.openConnections === 0) {
      if (Date.now() >= lingerUntilMs) return;
      if (source.laptopPorts().length === 0) {
        const listening = await readListeningPorts();
        if (source.openConnections === 0 && !source.appPorts.some((appPort) => listening.has(appPort))) return;
      }
    }
    await pause(DRAIN_POLL_MS, signal);
  }
}

/** Resolves after `ms`, or at once when `signal` aborts. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
