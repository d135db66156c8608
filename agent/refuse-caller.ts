import type { Socket } from 'node:net';
import { refusalPage } from '../src/http/h1/page.ts';
import { beginsLikeHttp } from './keep-alive.ts';
import { LINGER_MS, REFUSAL_PEEK_MS } from './limits.ts';
import { reset } from './sides.ts';

/**
 * Ends a caller whom nobody answers: who speaks HTTP is told why, others are reset. One that has said nothing yet has a moment
 * to show which it is.
 * @param first what it has said so far
 * @returns stops the timers; for when the caller is closed
 */
export function refuseCaller(caller: Socket, first: readonly Buffer[], reason: string): () => void {
  const said = [...first];
  let timer: NodeJS.Timeout | undefined;
  const hear = (chunk: Buffer): void => {
    said.push(chunk);
    refuse();
  };
  const refuse = (): void => {
    clearTimeout(timer);
    caller.off('data', hear);
    caller.off('end', refuse);
    if (caller.destroyed) return;
    const begin = Buffer.concat(said);
    if (!beginsLikeHttp(begin)) {
      reset(caller);
      return;
    }
    timer = sayRefusal(caller, 503, reason, begin.toString('latin1', 0, 5) === 'HEAD ');
  };
  if (first.length > 0 || caller.readableEnded) refuse();
  else {
    caller.on('data', hear);
    caller.on('end', refuse);
    timer = setTimeout(refuse, REFUSAL_PEEK_MS);
  }
  return () => clearTimeout(timer);
}

/** Answers an HTTP/1 request itself and ends the connection. @returns the timer by which a caller that stays is cut */
export function sayRefusal(caller: Socket, status: 502 | 503, reason: string, toHead: boolean): NodeJS.Timeout {
  caller.end(refusalPage(status, reason, { close: true, toHead }));
  caller.resume();
  return setTimeout(() => reset(caller), LINGER_MS);
}
