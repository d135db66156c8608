import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { endToEnd, headerPairs, without } from './http-headers.ts';

/** What went back to the caller; `onFailed` is called once, with what cut the answer. */
export interface AnswerWatcher {
  onBytes(bytes: number): void;
  onFailed(error: Error): void;
}

/** How long a connection that we end is read on: a reset for bytes that nobody read could overtake our last words. */
const LINGER_MS = 1000;

/** Ends a connection so that the peer sees a failure, not an orderly end: a cut answer must not look complete. */
export function resetConnection(connection: Duplex): void {
  if ('resetAndDestroy' in connection && typeof connection.resetAndDestroy === 'function') connection.resetAndDestroy();
  else connection.destroy();
}

/** Says `lastWords` and ends a connection that Node's server has let go of; a peer that does not end its side is cut. */
export function endConnection(connection: Duplex, lastWords = ''): void {
  connection.end(lastWords);
  connection.resume();
  const linger = setTimeout(() => resetConnection(connection), LINGER_MS);
  connection.once('close', () => clearTimeout(linger));
}

/**
 * Passes the process's answer to the caller as it comes: fields in their case, order and number, body, trailers.
 * Framing is Node's again (chunked stays chunked), so nothing the process frames wrongly reaches the caller.
 * @param request the caller's, for its version: HTTP/1.0 knows no chunks, so there the body ends with the connection
 * @throws TypeError ERR_INVALID_CHAR: the answer has a field that cannot be written; nothing has been sent then
 */
export function relayAnswer(
  answer: IncomingMessage,
  request: IncomingMessage,
  response: ServerResponse,
  watcher: AnswerWatcher,
): void {
  const fields = endToEnd(answer.rawHeaders);
  const modern = request.httpVersion === '1.1';
  response.sendDate = false; // the process's own Date passes; where it sends none, neither do we
  if (modern && response.shouldKeepAlive) response.removeHeader('connection'); // means: add none
  response.writeHead(
    answer.statusCode ?? 502,
    answer.statusMessage ?? '',
    modern ? fields : without(fields, 'transfer-encoding'),
  );

  let failed = false;
  const fail = (error: Error): void => {
    if (failed || response.writableEnded) return;
    failed = true;
    watcher.onFailed(error);
  };
  // Not stream.pipeline: a third slower here (LIBRARIES.md), and it would end the caller's connection in order.
  answer.on('data', (chunk: Buffer) => watcher.onBytes(chunk.length));
  answer.pipe(response, { end: false });
  answer.once('error', fail);
  answer.once('close', () => {
    if (!answer.complete) fail(new Error('the process closed the connection in the middle of its answer'));
  });
  answer.once('end', () => {
    if (!answer.complete) return; // 'close' follows
    if (answer.rawTrailers.length > 0) response.addTrailers(headerPairs(answer.rawTrailers));
    response.end();
  });
  // A head whose body comes later (server-sent events) must not wait for it; with a body at hand both go in one write.
  setImmediate(() => {
    if (!response.writableEnded && !response.destroyed) response.flushHeaders();
  });
}
