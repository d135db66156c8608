import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { errorText } from '../../errors.ts';
import type { Answerer, Resettable } from '../routing.ts';
import { beginHttp2, endHttp2 } from './session.ts';
import { Windows } from './windows.ts';

/** One session with an answerer, for the streams of one caller's connection. */
export class Upstream {
  readonly session: ClientHttp2Session;
  readonly windows: Windows;
  readonly #connection: Resettable;
  readonly #requests = new Set<ClientHttp2Stream>();
  #hasEnded = false;
  /** Requests were made before the one that asks. */
  isReused = false;
  /** It takes no more requests: its peer is going (GOAWAY), or gone. */
  isRetired = false;
  /** Why it ended, where it is known. */
  failure: string | undefined;

  constructor(connection: Resettable, onRetired: () => void) {
    this.#connection = connection;
    this.session = beginHttp2(connection);
    this.windows = new Windows(this.session);
    const retire = (): void => {
      if (this.isRetired) return;
      this.isRetired = true;
      onRetired();
    };
    connection.on('error', () => {}); // the session says it
    this.session.on('error', (failure) => {
      this.failure = errorText(failure);
    });
    this.session.on('goaway', retire);
    this.session.on('close', retire);
    connection.once('end', () => {
      this.#hasEnded = true;
      retire();
      this.#closeUnanswered();
      if (!this.session.destroyed) this.session.close();
    });
  }

  /** The connection is gone, for the streams that were open. */
  get isGone(): boolean {
    return this.#hasEnded || this.session.destroyed;
  }

  /** It was in a tunnel that is over. */
  get hasVanished(): boolean {
    return this.#connection.resetReason === 'gone';
  }

  /** Counts a request that was made, until it is closed. */
  add(request: ClientHttp2Stream): void {
    this.windows.opened();
    this.#requests.add(request);
    request.once('close', () => {
      this.windows.closed();
      this.#requests.delete(request);
    });
  }

  /**
   * Node does not see the end of a half-open connection, so streams would wait for ever for what cannot come any more. Answers
   * that are whole are left to be read.
   */
  #closeUnanswered(): void {
    for (const request of this.#requests) {
      const { state } = request.state;
      if (state === constants.NGHTTP2_STREAM_STATE_OPEN || state === constants.NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL) {
        request.close(constants.NGHTTP2_CANCEL);
      }
    }
  }

  end(): void {
    endHttp2(this.session, this.#connection);
  }
}

/** Who answers the streams of one caller's connection: a session each, made when first asked for. */
export class Upstreams {
  readonly #byId = new Map<string, Upstream>();
  readonly #connecting = new Map<string, Promise<Upstream>>();
  readonly #all = new Set<Upstream>();
  readonly #gone = new AbortController();

  /**
   * The session with this answerer.
   * @throws why there is none: Answerer.connect() failed
   */
  async get(answerer: Answerer): Promise<Upstream> {
    const { id } = answerer;
    const have = this.#byId.get(id);
    if (have !== undefined) {
      have.isReused = true;
      return have;
    }
    const awaited = this.#connecting.get(id);
    if (awaited !== undefined) return await awaited;
    const connecting = this.#connect(answerer).finally(() => this.#connecting.delete(id));
    this.#connecting.set(id, connecting);
    return await connecting;
  }

  /** The session of this id if there is one already. */
  peek(id: string): Upstream | undefined {
    const have = this.#byId.get(id);
    if (have !== undefined) have.isReused = true;
    return have;
  }

  /** The caller is gone: no more is dialled, sessions end with their streams. */
  close(): void {
    this.#gone.abort(new Error('the caller is gone'));
    for (const upstream of this.#all) upstream.end();
  }

  async #connect(answerer: Answerer): Promise<Upstream> {
    const connection = await answerer.connect(this.#gone.signal);
    if (this.#gone.signal.aborted) {
      connection.resetAndDestroy();
      throw this.#gone.signal.reason;
    }
    // A session on it would never be closed, nor its streams.
    if (connection.destroyed) throw new Error('the connection was closed at once');
    const { id } = answerer; // may be another one since it was asked for
    const upstream = new Upstream(connection, () => {
      if (this.#byId.get(id) === upstream) this.#byId.delete(id);
    });
    upstream.session.once('close', () => this.#all.delete(upstream));
    this.#all.add(upstream);
    this.#byId.get(id)?.session.close(); // finishes what it has
    this.#byId.set(id, upstream);
    return upstream;
  }
}
