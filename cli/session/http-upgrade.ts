import { type ClientRequest, request as httpRequest, type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { splice } from '../../src/net/splice.ts';
import { endConnection, relayAnswer, resetConnection } from './http-answer.ts';
import { encodeHead, hasRequestBody, hasToken, headerValues, without } from './http-headers.ts';
import type { ProcessAgent, ProcessRequestOptions } from './process-agent.ts';

/**
 * True if an upgrade is offered that a server may ignore and that is better ignored: with a body (Node stops parsing
 * at the head) or to h2c, which clients such as Java's offer on every first request and RFC 9113 §3.1 withdrew.
 */
export function isIgnorableUpgrade(request: IncomingMessage): boolean {
  return hasRequestBody(request.rawHeaders) || hasToken(request.rawHeaders, 'upgrade', 'h2c');
}

/** The request's head again, without its offer to upgrade, followed by what Node had read after it. */
export function requestWithoutUpgrade(request: IncomingMessage, head: Buffer): Buffer {
  const line = `${request.method} ${request.url} HTTP/${request.httpVersion}`;
  const close = hasToken(request.rawHeaders, 'connection', 'close') ? ['Connection', 'close'] : [];
  const kept = without(request.rawHeaders, 'connection', 'upgrade', 'http2-settings');
  return Buffer.concat([encodeHead(line, [...kept, ...close]), head]);
}

/** What came of an upgrade; exactly one is called. */
export interface UpgradeWatcher {
  /** The connection is now the process's. */
  onSwitched(): void;
  /** The process answered otherwise, and its answer has been passed (or cut: `error`). */
  onRefused(status: number, bytesDown: number, error: string | undefined): void;
  /** The process gave no answer; `response` is to be used. */
  onFailed(error: Error, response: ServerResponse): void;
  onLeft(): void;
}

/**
 * Passes a request to upgrade on, on a connection of its own. If the process agrees, both connections become one, each
 * direction closed on its own and failures passed as resets; if not, its answer goes to the caller and the connection
 * ends after it, since Node's parser has let go of it.
 *
 * Not http-proxy's ws(): that one writes a refusal's body without its chunk framing, lower-cases the fields, and turns
 * resets into orderly ends.
 * @param signal resets both connections
 */
export async function relayUpgrade(
  request: IncomingMessage,
  connection: Duplex,
  head: Buffer,
  target: { host: string; port: number; agent: ProcessAgent },
  signal: AbortSignal,
  watcher: UpgradeWatcher,
): Promise<void> {
  const headers = [...request.rawHeaders];
  // Node would frame a POST that says nothing as chunked.
  if (headerValues(headers, 'content-length').length === 0 && request.method !== 'GET')
    headers.push('Content-Length', '0');
  const options: ProcessRequestOptions & { path: string; headers: string[] } = {
    ...target,
    method: request.method ?? 'GET',
    path: request.url ?? '/',
    headers,
    isGone: () => connection.destroyed,
    halfOpen: true,
  };
  let upstream: ClientRequest;
  try {
    upstream = httpRequest(options);
  } catch (error) {
    watcher.onFailed(error as Error, newResponse(request, connection));
    return;
  }
  const abandon = (): void => {
    upstream.destroy();
  };
  connection.once('close', abandon);
  // A socket that nobody reads notices neither a reset nor an end; this reads ahead, and takes nothing.
  connection.once('readable', () => connection.read(0));
  connection.read(0);
  const outcome = await new Promise<{ answer: IncomingMessage; socket?: Socket; head?: Buffer } | Error>((resolve) => {
    upstream.once('upgrade', (answer, socket, rest) => resolve({ answer, socket: socket as Socket, head: rest }));
    upstream.once('response', (answer) => {
      answer.pause();
      resolve({ answer });
    });
    upstream.on('error', resolve);
    upstream.once('close', () => resolve(new Error('the process closed the connection')));
    upstream.end();
  });
  if (connection.destroyed) {
    if (!(outcome instanceof Error)) outcome.socket?.resetAndDestroy();
    watcher.onLeft();
    return;
  }
  if (outcome instanceof Error) {
    watcher.onFailed(outcome, newResponse(request, connection));
    return;
  }
  const { answer, socket } = outcome;
  if (socket === undefined) {
    await passRefusal(answer, request, newResponse(request, connection), connection, watcher);
    return;
  }
  connection.off('close', abandon);
  socket.on('error', () => {}); // splice tells
  watcher.onSwitched();
  connection.write(encodeHead(`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`, answer.rawHeaders));
  if (outcome.head !== undefined && outcome.head.length > 0) connection.write(outcome.head);
  if (head.length > 0) socket.write(head);
  await splice(resettable(connection), socket, signal).catch(() => {}); // one side failed: splice has reset the other
}

async function passRefusal(
  answer: IncomingMessage,
  request: IncomingMessage,
  response: ServerResponse,
  connection: Duplex,
  watcher: UpgradeWatcher,
): Promise<void> {
  let bytesDown = 0;
  let failure: string | undefined;
  const over = new Promise((resolve) => connection.once('close', resolve));
  relayAnswer(answer, request, response, {
    onBytes: (bytes) => {
      bytesDown += bytes;
    },
    onFailed: (error) => {
      failure = `answer cut: ${error.message}`;
      resetConnection(connection);
    },
  });
  await over;
  if (!response.writableFinished) failure ??= 'the caller left';
  watcher.onRefused(answer.statusCode ?? 0, bytesDown, failure);
}

type Resettable = Duplex & { resetAndDestroy(): unknown };

function resettable(connection: Duplex): Resettable {
  if ('resetAndDestroy' in connection) return connection as Resettable;
  return Object.assign(connection, { resetAndDestroy: () => connection.destroy() });
}

/** A response on a connection that Node's server has handed out; the connection ends after it. */
function newResponse(request: IncomingMessage, connection: Duplex): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Typed for net.Socket; writes, cork and events are all it uses, which every Duplex has.
  response.assignSocket(connection as Socket);
  response.once('finish', () => endConnection(connection));
  return response;
}
