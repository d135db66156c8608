import type { Answerer, Resettable } from '../routing.ts';

/** Who wants the connection; told once, unless the dialling was given up. */
export interface Dialler {
  readonly connected: (stream: Resettable) => void;
  readonly failed: (reason: string) => void;
  /** One of the two above threw. */
  readonly broken: (error: unknown) => void;
}

/**
 * Makes a connection to an answerer.
 * @returns gives it up: a connection that comes about all the same is reset
 */
export function dialAnswerer(answerer: Answerer, dialler: Dialler): () => void {
  const givenUp = new AbortController();
  const connected = (stream: Resettable): void => {
    if (givenUp.signal.aborted) {
      stream.on('error', () => {}); // nobody is left to be told
      stream.resetAndDestroy();
    } else if (stream.destroyed) dialler.failed('the connection was closed at once');
    else dialler.connected(stream);
  };
  const failed = (error: unknown): void => {
    if (!givenUp.signal.aborted) dialler.failed(error instanceof Error ? error.message : String(error));
  };
  answerer.connect(givenUp.signal).then(connected, failed).catch(dialler.broken);
  return () => givenUp.abort();
}
