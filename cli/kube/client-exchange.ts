import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { Dispatcher, Pool } from 'undici';
import requestWith from 'undici/lib/api/api-request.js';
import PoolClass from 'undici/lib/dispatcher/pool.js';
import { InterceptorError, systemErrorCode } from '../../src/errors.ts';
import { VERSION } from '../../src/version.ts';
import { type Deadline, delay } from './client-deadline.ts';
import { dialServer } from './client-dial.ts';
import type { RawRequest } from './client-types.ts';
import type { Credentials, KubeAccess } from './kubeconfig-types.ts';

/** Watches hold a connection each, so this also bounds how many of them one session has. */
const MAX_CONNECTIONS = 64;
/** Below the idle time-outs of usual load balancers (60 s); a stale one costs a GET one silent retry. */
const KEEP_ALIVE_MS = 45_000;
const MAX_THROTTLED_RETRIES = 4;
const MAX_RETRY_AFTER_MS = 10_000;
const DEFAULT_RETRY_AFTER_MS = 1_000;

/** Why a question ends that renew() asks again. */
const RENEWED = new Error('the connections to the API server were renewed');

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** Sends requests over kept-alive connections: credentials, their renewal on 401, retries of what is safe to retry. */
export class Exchange {
  readonly #access: KubeAccess;
  readonly #origin: string;
  readonly #prefix: string;
  #pool: { readonly credentials: Credentials; readonly pool: Pool } | undefined;
  /** Pools that were renewed, until what still runs on them has its answer. */
  readonly #stale = new Set<Pool>();
  /** Questions that can be asked again: those without an answer yet, and streams. */
  readonly #renewable = new Set<AbortController>();
  #closed = false;

  constructor(access: KubeAccess) {
    this.#access = access;
    const url = new URL(access.server);
    this.#origin = url.origin;
    this.#prefix = url.pathname.replace(/\/$/, '');
  }

  /**
   * One request with its retries: once with new credentials after 401, once over a new connection when a kept-alive one
   * turned out closed (GET only), after each renew() (GET only), a few times after 429.
   * @returns any answer, its body unread
   */
  async send(request: RawRequest, limit: Deadline): Promise<Answer> {
    let staleRetried = false;
    let renewed = false;
    let throttled = 0;
    for (;;) {
      const credentials = await this.#access.credentials(limit.signal);
      let answer: Answer;
      try {
        answer = await this.#onceRenewably(request, credentials, limit.signal);
      } catch (error) {
        if (error === RENEWED) continue;
        if (limit.signal.aborted || staleRetried || request.method !== 'GET' || !isClosedConnection(error)) throw error;
        staleRetried = true;
        continue;
      }
      if (answer.status === 401 && !renewed && this.#access.forgetCredentials(credentials)) {
        renewed = true;
        await discard(answer);
      } else if (answer.status === 429 && throttled < MAX_THROTTLED_RETRIES) {
        throttled += 1;
        const waitMs = retryAfterMs(answer);
        await discard(answer);
        await delay(waitMs, limit.signal);
      } else return answer;
    }
  }

  /**
   * Asks over new connections from now on: those there are may be dead without a word, as after a change of networks. Questions
   * under way are asked again, streams end with an error; writes go on, for nobody could say whether they stand.
   */
  renew(): void {
    const stale = this.#pool?.pool;
    this.#pool = undefined;
    if (stale !== undefined) {
      this.#stale.add(stale);
      void stale.close().finally(() => this.#stale.delete(stale));
    }
    for (const question of [...this.#renewable]) question.abort(RENEWED);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(
      [...this.#stale, ...(this.#pool === undefined ? [] : [this.#pool.pool])].map((pool) => pool.destroy()),
    );
  }

  /** As #once(); a GET fails with RENEWED after renew(), and the body of a stream does, which is known by its own deadline. */
  async #onceRenewably(request: RawRequest, credentials: Credentials, signal: AbortSignal): Promise<Answer> {
    if (request.method !== 'GET') return await this.#once(request, credentials, signal);
    const question = new AbortController();
    const onAbort = (): void => question.abort(signal.reason);
    const forget = (): void => {
      this.#renewable.delete(question);
      signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    this.#renewable.add(question);
    try {
      const answer = await this.#once(request, credentials, question.signal);
      if (request.isStream !== true) this.#renewable.delete(question); // it has begun to be answered
      answer.body.once('close', forget);
      return answer;
    } catch (error) {
      forget();
      throw error;
    }
  }

  async #once(request: RawRequest, credentials: Credentials, signal: AbortSignal): Promise<Answer> {
    const headers: Record<string, string | string[]> = {
      accept: 'application/json',
      'user-agent': `kube-intercept/${VERSION}`,
      ...this.#access.headers,
      ...request.headers,
    };
    if (credentials.authorization !== undefined) headers.authorization = credentials.authorization;
    const options: Dispatcher.RequestOptions = {
      path: this.#prefix + request.path,
      method: request.method,
      headers,
      signal,
      // The call's own deadline covers both; a watch may be silent for minutes.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
    if (request.body !== undefined) options.body = request.body;
    const answer = await requestWith.call(this.#poolFor(credentials), options);
    return { status: answer.statusCode, headers: answer.headers, body: answer.body };
  }

  /** Connections belong to a client certificate: another certificate means other connections. */
  #poolFor(credentials: Credentials): Pool {
    if (this.#closed) throw new InterceptorError('INTERNAL', 'the client of the API server is closed');
    const current = this.#pool;
    if (
      current !== undefined &&
      current.credentials.cert === credentials.cert &&
      current.credentials.key === credentials.key
    ) {
      return current.pool;
    }
    const pool = new PoolClass(this.#origin, {
      connections: MAX_CONNECTIONS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: (_options, done) => {
        dialServer(this.#access, credentials, new AbortController().signal).then(
          (socket) => done(null, socket),
          (error: Error) => done(error, null),
        );
      },
    });
    this.#pool = { credentials, pool };
    if (current !== undefined) void current.pool.close(); // after its running requests
    return pool;
  }
}

/** Reads the body to its end and drops it, so that the connection can be used again. */
async function discard(answer: Answer): Promise<void> {
  await buffer(answer.body).catch(() => {}); // a cut body: the connection is gone then, which is fine too
}

/** The connection ended before any answer. Failed dials are InterceptorErrors and not meant. */
function isClosedConnection(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function retryAfterMs(answer: Answer): number {
  const seconds = Number(answer.headers['retry-after']);
  if (!Number.isFinite(seconds) || seconds < 0) return DEFAULT_RETRY_AFTER_MS;
  return Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
}
