import { addAbortListener, once } from 'node:events';
import type { Socket } from 'node:net';
import { ownUids } from '../proxy/access.ts';
import { peerUid } from '../proxy/peer-uid.ts';
import type { Outgoing } from '../types.ts';
import { judgeFirstBytes } from './foreign-page.ts';

const REFUSAL_TEXT = 'kube-intercept: requests of web pages are not passed on to the pod\n';
const REFUSAL = `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: ${REFUSAL_TEXT.length}\r\nConnection: close\r\n\r\n${REFUSAL_TEXT}`;

/** One that was refused may go on talking for so long: a reset would take its answer away. */
const REFUSED_LINGER_MS = 2_000;

/**
 * Whether a connection to a port of 127.0.0.1 comes from the session's own user, or root. Every user of the machine can reach
 * the port. Where the system does not tell (it does on Linux), everybody may.
 */
export function isOwnCaller(socket: Socket, uids: readonly number[] = ownUids()): boolean {
  if (process.platform !== 'linux' || socket.remotePort === undefined) return process.platform !== 'linux';
  const uid = peerUid('tcp', socket.remotePort, socket.localPort);
  return uid !== undefined && uids.includes(uid);
}

/**
 * Waits until either side has spoken, and looks at what the caller says first: judgeFirstBytes(). Nothing is taken from either.
 * @returns false when it is a web page, which has been told so
 */
export async function mayPass(caller: Socket, pod: Outgoing, signal: AbortSignal): Promise<boolean> {
  if (caller.readableEnded) return true; // before the pod was reached, without a word
  let seen = Buffer.alloc(0);
  const putBack = (): void => {
    if (seen.byteLength > 0 && !caller.readableEnded) caller.unshift(seen);
  };
  for (;;) {
    const spoke = new AbortController();
    const either = AbortSignal.any([signal, spoke.signal]);
    try {
      // A server that speaks first is no web server.
      await Promise.race([
        ...[caller, pod].map((side) => once(side, 'readable', { signal: either })),
        ...[caller, pod].map((side) => once(side, 'close', { signal: either })),
      ]);
    } finally {
      spoke.abort();
    }
    const chunk: unknown = caller.read();
    if (!Buffer.isBuffer(chunk)) {
      putBack();
      return true;
    }
    seen = Buffer.concat([seen, chunk]);
    const verdict = judgeFirstBytes(seen);
    if (verdict === 'more' && !caller.readableEnded) continue;
    if (verdict === 'refuse') {
      caller.end(REFUSAL);
      return false;
    }
    putBack();
    return true;
  }
}

/**
 * Reads what a caller that was refused still says: with bytes unread a socket never closes, and its server would not either.
 * @returns once it is closed; it is reset when `signal` aborts, and when it takes too long
 */
export async function untilGone(caller: Socket, signal: AbortSignal): Promise<void> {
  if (caller.closed) return;
  const cut = (): void => {
    caller.resetAndDestroy();
  };
  const timer = setTimeout(cut, REFUSED_LINGER_MS);
  using _ = addAbortListener(signal, cut);
  await new Promise<void>((resolve) => {
    caller.once('close', () => resolve());
    caller.resume();
  });
  clearTimeout(timer);
}
