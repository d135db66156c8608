import { constants, type Http2Stream, type IncomingHttpHeaders } from 'node:http2';
import type { Writable } from 'node:stream';
import { headersToSend } from './fields.ts';

/** A place that gets a body too, and can neither slow nor fail it. */
export interface Tap {
  write(chunk: Buffer): void;
  end(trailers: Trailers | undefined): void;
}

export interface Trailers {
  readonly raw: readonly string[];
  readonly headers: IncomingHttpHeaders;
}

/** Keeps the trailers of a stream: they may come while nobody reads its body yet. */
export function keepTrailers(from: Http2Stream): () => Trailers | undefined {
  let kept: Trailers | undefined;
  from.on('trailers', (headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
    kept = { headers, raw };
  });
  return () => kept;
}

/**
 * Sends one body on, with its trailers, as fast as `to` takes it. `to` was made with waitForTrailers.
 * @param onEnd all of the body was read
 */
export function pump(
  from: Http2Stream,
  trailersOf: () => Trailers | undefined,
  to: Http2Stream & Writable,
  taps: readonly Tap[],
  onEnd: () => void,
): void {
  to.once('wantTrailers', () => {
    if (to.destroyed || to.closed) return;
    const trailers = trailersOf();
    if (trailers === undefined) to.sendTrailers({});
    else sendTrailers(to, trailers);
  });
  from.on('data', (chunk: Buffer) => {
    for (const tap of taps) tap.write(chunk);
    if (!to.writable) return; // its peer wants no more of it; the rest is read and dropped
    if (!to.write(chunk)) from.pause();
  });
  to.on('drain', () => from.resume());
  to.once('close', () => from.resume());
  from.once('end', () => {
    // An aborted stream ends too, and what came of it must not look whole.
    if (from.aborted || from.rstCode !== constants.NGHTTP2_NO_ERROR) return;
    onEnd();
    for (const tap of taps) tap.end(trailersOf());
    if (to.writable) to.end();
  });
}

/** @param to waits for trailers */
export function sendTrailers(to: Http2Stream, trailers: Trailers): void {
  try {
    to.sendTrailers(headersToSend(trailers.raw, trailers.headers, []));
  } catch {
    to.close(constants.NGHTTP2_PROTOCOL_ERROR); // fields that Node does not send in trailers
  }
}
