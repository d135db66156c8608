import { addAbortListener } from 'node:events';
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { errorText } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { type Meter, sideBytes } from '../meter.ts';
import type { HttpRoutes, Resettable } from '../routing.ts';
import { Exchange } from './exchange.ts';
import { Copies } from './mirrors.ts';
import { serveHttp2 } from './session.ts';
import { Upstreams } from './upstreams.ts';
import { Windows } from './windows.ts';

export interface H2Options {
  /** Cuts everything. */
  readonly signal?: AbortSignal;
  readonly log?: Log;
  /** Once aborted: GOAWAY; open streams are finished. */
  readonly draining?: AbortSignal;
  /** Is told what the connection keeps. */
  readonly meter?: Meter;
}

/**
 * Routes each request of a caller that speaks HTTP/2: every stream on its own, one session per answerer for all streams of
 * this connection. Takes the caller over.
 * @param first what was read of the caller, its preface included
 * @returns resolves when the caller's connection is closed; never rejects
 */
export async function routeH2(
  caller: Resettable,
  first: Buffer,
  routes: HttpRoutes,
  options: H2Options = {},
): Promise<void> {
  if (caller.destroyed) return;
  caller.on('error', () => {}); // the session says it
  if (first.byteLength > 0) caller.unshift(first);
  const session = serveHttp2(caller);
  const upstreams = new Upstreams();
  const copies = new Copies();
  const windows = new Windows(session);
  const exchanges = new Set<Exchange>();
  const connection = { routes, upstreams, copies, isGone: () => session.destroyed };
  session.on('error', () => {}); // 'close' follows
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => {
    stream.on('error', () => {}); // 'close' follows, with the code
    windows.opened();
    stream.once('close', () => windows.closed());
    const hasBody = (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0;
    try {
      const exchange = new Exchange(stream, headers, raw, hasBody, connection);
      exchanges.add(exchange);
      stream.once('close', () => exchanges.delete(exchange));
      exchange.begin();
    } catch (failure) {
      // Our own mistake: it must cost this request only.
      options.log?.error('routing a request failed', { reason: errorText(failure) });
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  });
  const { signal, draining } = options;
  using _cut = signal && addAbortListener(signal, () => caller.resetAndDestroy());
  using _drain = draining && addAbortListener(draining, () => session.close());
  // Node does not see the end of a half-open connection. HTTP/2 has no use for half of one: whoever ends it is gone.
  caller.once('end', () => session.destroy());
  const unmeter = options.meter?.add(() => {
    let bytes = sideBytes(caller);
    for (const exchange of exchanges) bytes += exchange.heldBytes;
    return bytes;
  });
  await new Promise<void>((resolve) => session.once('close', resolve));
  unmeter?.();
  upstreams.close();
  copies.close();
}
