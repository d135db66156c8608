import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { errorText } from '../../errors.ts';
import { isIdempotent } from '../idempotent.ts';
import { sideBytes } from '../meter.ts';
import { type Answerer, type HttpRoutes, isRefusal, type Refusal, VANISHED } from '../routing.ts';
import { headersToSend, requestHead, whyAmbiguous, withoutDuplicates } from './fields.ts';
import type { Copies } from './mirrors.ts';
import { keepTrailers, pump, type Tap, type Trailers } from './pump.ts';
import { type AnswerOptions, refuse } from './refuse.ts';
import type { Upstream, Upstreams } from './upstreams.ts';

const {
  NGHTTP2_NO_ERROR: NO_ERROR,
  NGHTTP2_INTERNAL_ERROR: INTERNAL_ERROR,
  NGHTTP2_REFUSED_STREAM: REFUSED_STREAM,
  NGHTTP2_CANCEL: CANCEL,
  NGHTTP2_FLAG_END_STREAM: END_STREAM,
} = constants;
/** Their answers have no body, so Node sends END_STREAM with the head and waits for no trailers. */
const WITHOUT_BODY = new Set([204, 205, 304]);

/** What the streams of one caller's connection share. */
export interface Connection {
  readonly routes: HttpRoutes;
  readonly upstreams: Upstreams;
  readonly copies: Copies;
  /** The caller is gone, with all its streams. */
  isGone(): boolean;
}

/**
 * One request of a caller, from its head to the end of both bodies. Nothing is read of its body before somebody is there to
 * answer, so what waits is what the stream's window lets in.
 */
export class Exchange {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #raw: readonly string[];
  readonly #hasBody: boolean;
  readonly #connection: Connection;
  readonly #trailers: () => Trailers | undefined;
  #taps: Tap[] = [];
  #upload: 'waiting' | 'open' | 'ended';
  #download: 'waiting' | 'open' | 'ended' = 'waiting';
  #isRepeated = false;
  /** What the answerer was asked last. */
  #request: ClientHttp2Stream | undefined;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[],
    hasBody: boolean,
    connection: Connection,
  ) {
    this.#stream = stream;
    this.#headers = headers;
    this.#raw = raw;
    this.#hasBody = hasBody;
    this.#connection = connection;
    this.#trailers = keepTrailers(stream);
    this.#upload = hasBody ? 'waiting' : 'ended';
    if (!hasBody) stream.resume(); // to its end, or it would never close
  }

  /** What waits here for somebody to take it. */
  get heldBytes(): number {
    return sideBytes(this.#stream) + (this.#request === undefined ? 0 : sideBytes(this.#request));
  }

  /** Decides who answers, and has it done. */
  begin(): void {
    const wrong = whyAmbiguous(this.#raw);
    if (wrong !== undefined) {
      this.#refuse({ status: 400, reason: wrong });
      return;
    }
    const { answerer, mirrors } = this.#connection.routes.decide(requestHead(this.#raw));
    this.#taps = mirrors.flatMap(
      (mirror) => this.#connection.copies.begin(mirror, this.#toSend([]), this.#hasBody, this.#stream) ?? [],
    );
    this.#ask(answerer);
  }

  #ask(answerer: Answerer | Refusal): void {
    if (isRefusal(answerer)) {
      this.#refuse(answerer);
      return;
    }
    const upstream = this.#connection.upstreams.peek(answerer.id);
    if (upstream !== undefined) this.#send(upstream, answerer);
    else void this.#dial(answerer);
  }

  async #dial(answerer: Answerer): Promise<void> {
    let upstream: Upstream;
    try {
      upstream = await this.#connection.upstreams.get(answerer);
    } catch (failure) {
      if (this.#isOver) return;
      const reason = `could not be reached: ${errorText(failure)}`;
      this.#ask(answerer.fallback ?? { status: 502, reason });
      return;
    }
    if (!this.#isOver) this.#send(upstream, answerer);
  }

  #send(upstream: Upstream, answerer: Answerer): void {
    const isReused = upstream.isReused;
    let request: ClientHttp2Stream;
    try {
      request = upstream.session.request(this.#toSend(answerer.requestFields), {
        endStream: !this.#hasBody,
        waitForTrailers: this.#hasBody,
      });
    } catch (failure) {
      if (upstream.isRetired || upstream.session.destroyed || upstream.session.closed) this.#repeat(answerer);
      else this.#refuse({ status: 400, reason: `this request cannot be passed on: ${errorText(failure)}` });
      return;
    }
    const done = answerer.began();
    this.#request = request;
    upstream.add(request);
    request.on('error', () => {}); // 'close' follows, with the code
    request.on('headers', (headers: IncomingHttpHeaders, _flags: number, raw: string[]) => this.#inform(headers, raw));
    request.on('response', (headers: IncomingHttpHeaders, flags: number, raw: string[]) => {
      const isWhole = (flags & END_STREAM) !== 0;
      const fields = headersToSend(raw, headers, answerer.responseFields);
      this.#respond(request, fields, Number(headers[':status']), isWhole);
    });
    const cancel = (): void => this.#cancel(request);
    this.#stream.once('close', cancel);
    request.once('close', () => {
      this.#stream.off('close', cancel);
      done();
      this.#onAnswererClose(request, upstream, answerer, isReused);
    });
    if (this.#upload === 'waiting') {
      this.#upload = 'open';
      pump(this.#stream, this.#trailers, request, this.#taps, () => {
        this.#upload = 'ended';
      });
    }
  }

  #inform(headers: IncomingHttpHeaders, raw: readonly string[]): void {
    if (this.#isOver || this.#stream.headersSent) return;
    try {
      this.#stream.additionalHeaders(headersToSend(raw, headers, []));
    } catch {
      // 101 does not exist in HTTP/2 (RFC 9113 §8.6)
    }
  }

  #respond(request: ClientHttp2Stream, fields: OutgoingHttpHeaders, status: number, isWhole: boolean): void {
    const stream = this.#stream;
    if (this.#isOver || stream.headersSent) return;
    const endStream = isWhole || this.#headers[':method'] === 'HEAD' || WITHOUT_BODY.has(status);
    this.#download = isWhole ? 'ended' : 'open';
    try {
      respond(stream, fields, endStream);
    } catch (failure) {
      request.close(CANCEL);
      this.#refuse({ status: 502, reason: `this answer cannot be passed on: ${errorText(failure)}` });
      return;
    }
    if (isWhole) {
      request.resume();
      return;
    }
    pump(request, keepTrailers(request), stream, [], () => {
      this.#download = 'ended';
    });
  }

  /** The caller's stream is closed. */
  #cancel(request: ClientHttp2Stream): void {
    if (request.closed || request.destroyed) return;
    const { rstCode } = this.#stream;
    if (rstCode === NO_ERROR && this.#upload === 'ended' && this.#download === 'ended') return; // all was said
    request.close(rstCode === NO_ERROR || this.#connection.isGone() ? CANCEL : rstCode);
  }

  #onAnswererClose(request: ClientHttp2Stream, upstream: Upstream, answerer: Answerer, isReused: boolean): void {
    const stream = this.#stream;
    if (this.#isOver) return;
    const code = request.rstCode;
    if (this.#download === 'ended') {
      if (this.#upload === 'ended') return;
      // It wants no more of the request; the answer must be out before the caller is told.
      if (stream.writableFinished) stream.close(code);
      else stream.once('finish', () => stream.close(code));
    } else if (this.#download === 'open') {
      stream.close(upstream.isGone || code === NO_ERROR ? INTERNAL_ERROR : code);
    } else if (upstream.isRetired && code === REFUSED_STREAM && !this.#hasBody) {
      this.#repeat(answerer); // its GOAWAY says that it never saw this one
    } else if (!upstream.isGone) {
      stream.close(code === NO_ERROR ? INTERNAL_ERROR : code);
    } else if ((isReused || upstream.hasVanished) && !this.#hasBody && isIdempotent(String(this.#headers[':method']))) {
      this.#repeat(answerer); // it may have left before it saw this one
    } else {
      const why = upstream.hasVanished ? VANISHED : `the connection was lost: ${upstream.failure ?? 'it was closed'}`;
      this.#refuse({ status: 502, reason: why });
    }
  }

  /** On a new connection, once. */
  #repeat(answerer: Answerer): void {
    if (this.#isRepeated) {
      this.#refuse({ status: 502, reason: 'the connection was lost twice' });
      return;
    }
    this.#isRepeated = true;
    this.#ask(answerer);
  }

  #refuse(refusal: Refusal): void {
    this.#upload = 'ended';
    for (const tap of this.#taps) tap.end(undefined);
    const type = this.#headers['content-type'];
    refuse(this.#stream, type, refusal);
  }

  get #isOver(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  #toSend(added: Answerer['requestFields']): OutgoingHttpHeaders {
    return headersToSend(this.#raw, this.#headers, added);
  }
}

function respond(stream: ServerHttp2Stream, fields: OutgoingHttpHeaders, endStream: boolean): void {
  const options: AnswerOptions = { endStream, waitForTrailers: !endStream, sendDate: false };
  try {
    stream.respond(fields, options);
  } catch (failure) {
    if (stream.headersSent) throw failure;
    stream.respond(withoutDuplicates(fields), options);
  }
}
