import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { Stream } from 'node:stream';
import type HttpProxyPackage from 'http-proxy';
import { systemErrorCode } from '../../src/errors.ts';
import { isIdempotent } from '../../src/http/idempotent.ts';
import { badGatewayPage, gatewayFailure } from './bad-gateway-page.ts';
import { relayAnswer, resetConnection } from './http-answer.ts';
import { encodeHead, endToEnd, hasRequestBody, hasToken, headerPairs, headerValues } from './http-headers.ts';
import type { ProcessAgent } from './process-agent.ts';

/** For these Node frames a message that says nothing about a body as chunked. */
const NO_BODY_EXPECTED = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'DELETE', 'CONNECT']);
/** A request that cannot be sent twice takes no connection that was unused for longer: the process may be closing it. */
const FRESH_ENOUGH_MS = 1000;
/** Heads above Node's 16 KiB reach many servers directly, so they must through us. */
export const MAX_HEAD_BYTES = 256 * 1024;

export interface ExchangeOptions {
  readonly proxy: HttpProxyPackage;
  readonly target: { host: string; port: number };
  readonly agent: ProcessAgent;
}

/** What one exchange came to; complete once `onDone` is called. */
export interface ExchangeResult {
  status: number;
  bytesUp: number;
  bytesDown: number;
  error?: string;
}

/**
 * Passes one request to the process and its answer back.
 * @param onDone called once, when the caller's side is over: answered, cut, or left
 */
export function passRequest(
  request: IncomingMessage,
  response: ServerResponse,
  options: ExchangeOptions,
  onDone: (result: ExchangeResult) => void,
): void {
  const { proxy, target, agent } = options;
  const connection = request.socket;
  const method = request.method ?? 'GET';
  const withBody = hasRequestBody(request.rawHeaders);
  const awaitsContinue = hasToken(request.rawHeaders, 'expect', '100-continue');
  const replayable = !withBody && isIdempotent(method);
  const headers = outgoingHeaders(request, method, target);
  const result: ExchangeResult = { status: 0, bytesUp: 0, bytesDown: 0 };
  let upstream: ClientRequest | undefined;
  let inbound: IncomingMessage | undefined;
  let answered = false;
  let over = false;
  let retried = false;

  response.once('close', () => {
    over = true;
    if (!response.writableFinished && result.error === undefined) result.error = 'the caller left';
    // Whatever is still going on between us and the process has nobody to go to. A finished exchange is not touched:
    // its connection is kept for the next one.
    if (upstream !== undefined && !(inbound?.complete === true && upstream.writableFinished)) upstream.destroy();
    if (!request.complete) {
      request.unpipe();
      request.resume();
    }
    onDone(result);
  });

  const fail = (thrown: unknown): void => {
    if (over || answered) return;
    answered = true;
    upstream?.destroy();
    const failure = gatewayFailure(thrown, { brokeBefore: retried });
    result.error = failure.reason;
    result.status = 502;
    sendBadGateway(request, response, failure);
  };

  const onAnswer = (answer: IncomingMessage): void => {
    if (over || answered) {
      answer.destroy();
      return;
    }
    answered = true;
    inbound = answer;
    result.status = answer.statusCode ?? 0;
    // The caller was never told to go on: whether it will still send the body is unknown, so nothing may follow it.
    if (awaitsContinue && !request.complete) response.shouldKeepAlive = false;
    try {
      relayAnswer(answer, request, response, {
        onBytes: (bytes) => {
          result.bytesDown += bytes;
        },
        onFailed: (error) => {
          result.error = `answer cut: ${systemErrorCode(error) ?? error.message}`;
          resetConnection(connection);
        },
      });
    } catch (error) {
      answered = false;
      fail(error);
    }
  };

  const send = (): void => {
    let readBefore = 0;
    let informed = false;
    let current: ClientRequest | undefined;
    const start = (outgoing: ClientRequest): void => {
      current = outgoing;
      upstream = outgoing;
      outgoing.maxHeadersCount = 0; // Node drops fields after the 2000th; the head's size is the limit
      outgoing.once('socket', (socket) => {
        readBefore = socket.bytesRead;
      });
      outgoing.once('response', onAnswer);
      outgoing.on('information', (info) => {
        informed = true;
        if (over || answered || info.statusCode === 100) return;
        // Only while no earlier response is still on the connection (pipelining), and never to HTTP/1.0.
        if (response.socket === null || request.httpVersion !== '1.1') return;
        // As bytes: writeEarlyHints lower-cases, and refuses fields that it does not know.
        connection.write(encodeHead(`HTTP/1.1 ${info.statusCode} ${info.statusMessage}`, endToEnd(info.rawHeaders)));
      });
      outgoing.on('continue', () => {
        if (awaitsContinue && !over && !answered) response.writeContinue();
      });
      outgoing.once('close', () => {
        if (outgoing === upstream) fail(new Error('closed'));
      }); // e.g. a 101 that nobody asked for
      sendBody(request, outgoing, withBody && !request.readableEnded, (bytes) => {
        result.bytesUp += bytes;
      });
    };
    const onError = (error: Error): void => {
      if (current !== upstream) return; // of the first of two attempts
      const socket = current?.socket;
      const silent = !informed && (socket?.bytesRead ?? 0) === readBefore;
      if (!over && !answered && !retried && replayable && silent && current?.reusedSocket === true) {
        retried = true;
        agent.dropIdle(0); // so that the second attempt dials
        send();
      } else fail(error);
    };
    if (!replayable) agent.dropIdle(FRESH_ENOUGH_MS);
    const body = Object.assign(new Stream(), {
      pipe: <T>(outgoing: T): T => {
        start(outgoing as unknown as ClientRequest);
        return outgoing;
      },
    });
    try {
      proxy.web(
        request,
        response,
        {
          target: { host: target.host, port: target.port, protocol: 'http:' },
          ssl: requestOptions(request.url ?? '/', headers, () => over),
          agent,
          buffer: body,
        },
        onError,
      );
    } catch (error) {
      fail(error); // http.request refuses a character that the parser let through
    }
  };
  send();
}

/** The caller's fields as they are, but for what concerns only its own connection, plus what Node would add wrongly. */
function outgoingHeaders(request: IncomingMessage, method: string, target: { host: string; port: number }): string[] {
  const raw = request.rawHeaders;
  const headers = endToEnd(raw);
  // HTTP/1.0 needs no Host, HTTP/1.1 (which Node's client speaks) does.
  if (headerValues(raw, 'host').length === 0) headers.push('Host', `${target.host}:${target.port}`);
  const framed = headerValues(raw, 'content-length').length + headerValues(raw, 'transfer-encoding').length > 0;
  if (!framed && !NO_BODY_EXPECTED.has(method)) headers.push('Content-Length', '0');
  return headers;
}

/**
 * The object that http-proxy fills and hands to http.request as its options. `path` and `headers` keep our values
 * whatever it assigns: it would collapse `//`, cut the host of an absolute target, lower-case and join the fields.
 * An array of headers goes out as it is.
 */
function requestOptions(path: string, headers: string[], isGone: () => boolean): object {
  const fixed = (value: unknown): PropertyDescriptor => ({ enumerable: true, get: () => value, set: () => {} });
  return Object.defineProperties(
    { isGone, maxHeaderSize: MAX_HEAD_BYTES, setHost: false },
    { path: fixed(path), headers: fixed(headers) },
  );
}

function sendBody(
  request: IncomingMessage,
  outgoing: ClientRequest,
  withBody: boolean,
  onBytes: (bytes: number) => void,
): void {
  if (!withBody) {
    outgoing.end();
    return;
  }
  request.on('data', (chunk: Buffer) => onBytes(chunk.length));
  request.once('end', () => {
    if (outgoing.destroyed) return;
    if (request.rawTrailers.length > 0) outgoing.addTrailers(headerPairs(request.rawTrailers));
    outgoing.end();
  });
  request.pipe(outgoing, { end: false });
}

/** Answers 502 with the reason, as HTML for browsers and plain text for the rest. */
export function sendBadGateway(
  request: IncomingMessage,
  response: ServerResponse,
  failure: ReturnType<typeof gatewayFailure>,
): void {
  const page = badGatewayPage(failure, headerValues(request.rawHeaders, 'accept').join(','));
  if (!request.complete) response.shouldKeepAlive = false; // the rest of its body would have to be read first
  response.writeHead(502, {
    'content-type': page.type,
    'content-length': Buffer.byteLength(page.body),
    'cache-control': 'no-store',
    'x-kube-intercept': failure.kind,
  });
  response.end(page.body);
}
