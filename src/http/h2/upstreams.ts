import type { ClientHttp2Session } from 'node:http2';
import { errorText } from '../../errors.ts';
import type { Answerer, Resettable } from '../routing.ts';
import { beginHttp2, endHttp2 } from './session.ts';
import { Windows } from './windows.ts';

/** One session with an answerer, for the streams of one caller's connection. */
export class Upstream {
  readonly session: ClientHttp2Session;
  readonly windows: Windows;
  readonly #connection: Resettable;
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
  }

  /** The connection is gone, with the streams that were open. */
  get isGone(): boolean {
    return this.session.destroyed;
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
    const have = this.#byId.get(answerer.id);
    if (have !== undefined) {
      have.isReused = true;
      return have;
    }
    const awaited = this.#connecting.get(answerer.id);
    if (awaited !== undefined) return await awaited;
    const connecting = this.#connect(answerer).finally(() => this.#connecting.delete(answerer.id));
    this.#connecting.set(answerer.id, connecting);
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
    const upstream = new Upstream(connection, () => {
      if (this.#byId.get(answerer.id) === upstream) this.#byId.delete(answerer.id);
    });
    upstream.session.once('close', () => this.#all.delete(upstream));
    this.#all.add(upstream);
    this.#byId.set(answerer.id, upstream);
    return upstream;
  }
}
