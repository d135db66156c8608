import { type ClientHttp2Session, connect, performServerHandshake, type ServerHttp2Session } from 'node:http2';
import type { Resettable } from '../routing.ts';
import {
  CLOSE_GRACE_MS,
  CONNECTION_WINDOW_BYTES,
  MAX_FIELDS,
  MAX_HEAD_BYTES,
  MAX_SESSION_MEMORY_MB,
  MAX_STREAMS,
  STREAM_WINDOW_BYTES,
} from './limits.ts';

const SETTINGS = {
  initialWindowSize: STREAM_WINDOW_BYTES,
  maxHeaderListSize: MAX_HEAD_BYTES,
  enablePush: false, // a push cannot be passed on: the caller chose who answers by a request it did make
};
const LIMITS = { maxSessionMemory: MAX_SESSION_MEMORY_MB, maxHeaderListPairs: MAX_FIELDS };

/**
 * Serves HTTP/2 on a caller's connection. A flood of streams opened and reset at once (CVE-2023-44487) is ended by nghttp2
 * itself, as are floods of settings, pings and empty frames.
 * @param caller what was read of it already was put back with unshift()
 */
export function serveHttp2(caller: Resettable): ServerHttp2Session {
  const { enablePush: _, ...settings } = SETTINGS;
  const session = performServerHandshake(caller, {
    ...LIMITS,
    settings: { ...settings, maxConcurrentStreams: MAX_STREAMS },
  });
  widen(session);
  return session;
}

/** An HTTP/2 session with who is at the other end of `connection`; requests may be made at once. */
export function beginHttp2(connection: Resettable): ClientHttp2Session {
  const session = connect('http://upstream', { ...LIMITS, settings: SETTINGS, createConnection: () => connection });
  widen(session);
  return session;
}

/** Ends a session once its streams are over, and its connection soon after, whatever the peer does. */
export function endHttp2(session: ClientHttp2Session, connection: Resettable): void {
  if (!session.destroyed) session.close();
  if (connection.closed) return;
  const timer = setTimeout(() => connection.resetAndDestroy(), CLOSE_GRACE_MS);
  connection.once('close', () => clearTimeout(timer));
}

function widen(session: ClientHttp2Session | ServerHttp2Session): void {
  if (session.connecting) session.once('connect', () => widen(session));
  else if (!session.destroyed) session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
}
