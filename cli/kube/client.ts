import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { InterceptorError } from '../../src/errors.ts';
import { type Deadline, deadline } from './client-deadline.ts';
import { type Answer, Exchange } from './client-exchange.ts';
import { withQuery } from './client-paths.ts';
import type {
  CallOptions,
  DeleteOptions,
  JsonPatchOperation,
  KubeList,
  KubeObject,
  ListOptions,
  Method,
  PatchKind,
  RawRequest,
  RawResponse,
  WriteOptions,
} from './client-types.ts';
import { noAnswer, unreachable } from './client-unreachable.ts';
import type { KubeAccess } from './kubeconfig-types.ts';
import { isExpired, isNotFound, statusError } from './status-errors.ts';

export { resourcePath, withQuery } from './client-paths.ts';
export type * from './client-types.ts';
export { isAlreadyExists, isConflict, isExpired, isForbidden, isNotFound, KubeStatusError } from './status-errors.ts';

export const DEFAULT_TIMEOUT_MS = 20_000;
export const FIELD_MANAGER = 'kube-intercept';
const PAGE_ITEMS = 500;
const MAX_PAGES = 200;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

const PATCH_TYPES: Readonly<Record<PatchKind, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
};

/**
 * Raw-JSON client of one API server: connections are kept alive, every call has a deadline and takes a signal. All calls throw
 * KubeStatusError for a refusal (CLUSTER_UNAUTHORIZED, _FORBIDDEN, _CONFLICT, _REFUSED), CLUSTER_UNREACHABLE when there was no
 * answer, and the signal's reason when it aborts.
 */
export class KubeClient {
  readonly access: KubeAccess;
  readonly #exchange: Exchange;

  private constructor(access: KubeAccess) {
    this.access = access;
    this.#exchange = new Exchange(access);
  }

  /** Opens no connection yet. @param access from loadKubeConfig() */
  static async connect(access: KubeAccess): Promise<KubeClient> {
    return new KubeClient(access);
  }

  /** @throws KubeStatusError; isNotFound(error) when there is none */
  async get<T extends KubeObject = KubeObject>(path: string, options: CallOptions = {}): Promise<T> {
    return await this.#json<T>('GET', path, undefined, options);
  }

  /** All pages of a collection; the items carry apiVersion and kind, which the server leaves out of lists. */
  async list<T extends KubeObject = KubeObject>(path: string, options: ListOptions = {}): Promise<KubeList<T>> {
    const { labelSelector, fieldSelector } = options;
    const query = { ...options.query, labelSelector, fieldSelector };
    let page = await this.#page<T>(path, { ...options, query: { ...query, limit: PAGE_ITEMS } });
    const items = page.items;
    for (let pages = 1; page.metadata.continue; pages += 1) {
      if (pages === MAX_PAGES)
        throw new InterceptorError('CLUSTER_REFUSED', `${path} has more than ${MAX_PAGES * PAGE_ITEMS} objects`);
      try {
        page = await this.#page<T>(path, {
          ...options,
          query: { ...query, limit: PAGE_ITEMS, continue: page.metadata.continue },
        });
      } catch (error) {
        // The server compacted the list's state between two pages: one unpaged list is always consistent.
        if (!isExpired(error)) throw error;
        return await this.#page<T>(path, { ...options, query });
      }
      items.push(...page.items);
    }
    return { metadata: page.metadata, items };
  }

  /** POST of `object` to the collection `path`. @returns the stored object */
  async create<T extends KubeObject = KubeObject>(
    path: string,
    object: object,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#json<T>('POST', path, { type: 'application/json', value: object }, written(options));
  }

  /** PUT of the whole object (guarded when it carries resourceVersion). */
  async replace<T extends KubeObject = KubeObject>(
    path: string,
    object: object,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#json<T>('PUT', path, { type: 'application/json', value: object }, written(options));
  }

  /** @param body operations for 'json', else the partial object */
  async patch<T extends KubeObject = KubeObject>(
    path: string,
    body: object | readonly JsonPatchOperation[],
    kind: PatchKind,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#json<T>('PATCH', path, { type: PATCH_TYPES[kind], value: body }, written(options));
  }

  /** Deletes one object. @returns false when there was none (404) */
  async delete(path: string, options: DeleteOptions = {}): Promise<boolean> {
    const { propagationPolicy, gracePeriodSeconds, preconditions, dryRun } = options;
    const value = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy,
      gracePeriodSeconds,
      preconditions,
      dryRun: dryRun === true ? ['All'] : undefined,
    };
    try {
      await this.#json('DELETE', path, { type: 'application/json', value }, options);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** Any request; for answers that are not objects (logs, /version). @throws as get() for a status of 400 or more */
  async request(request: RawRequest): Promise<RawResponse> {
    const { answer, limit } = await this.#open(request);
    try {
      return { status: answer.status, headers: answer.headers, text: await readText(answer.body) };
    } catch (error) {
      throw this.#failure(error, request, limit);
    } finally {
      limit.dispose();
    }
  }

  /**
   * A GET whose answer flows for long (watch, followed logs): the deadline holds until the headers are there.
   * @returns the body; destroy it, or abort the signal, to end it
   */
  async stream(path: string, options: CallOptions = {}): Promise<Readable> {
    const { answer, limit } = await this.#open({ ...options, method: 'GET', path, isStream: true });
    limit.stopClock();
    answer.body.once('close', () => limit.dispose());
    return answer.body;
  }

  /**
   * For when the network was seen to have dropped a connection: asks over new ones. GETs under way are asked again, watches and
   * followed logs end with an error, writes go on.
   */
  renewConnections(): void {
    this.#exchange.renew();
  }

  /** Closes idle and running connections; calls in flight fail. May be called twice. */
  async close(): Promise<void> {
    await this.#exchange.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #page<T extends KubeObject>(path: string, options: CallOptions): Promise<KubeList<T>> {
    const page = await this.#json<KubeList<T> & { apiVersion?: string; kind?: string }>(
      'GET',
      path,
      undefined,
      options,
    );
    const { apiVersion } = page;
    const kind = page.kind?.replace(/List$/, '');
    const named = apiVersion === undefined || kind === undefined ? {} : { apiVersion, kind };
    return { metadata: page.metadata, items: (page.items ?? []).map((item) => ({ ...named, ...item })) };
  }

  async #json<T>(
    method: Method,
    path: string,
    body: { readonly type: string; readonly value: unknown } | undefined,
    options: CallOptions,
  ): Promise<T> {
    options.signal?.throwIfAborted();
    const request: RawRequest = {
      method,
      path,
      // A write that has been sent is not abandoned: nobody could say whether it stands.
      signal: method === 'GET' ? options.signal : undefined,
      timeoutMs: options.timeoutMs,
      query: options.query,
    };
    if (body !== undefined) {
      request.body = JSON.stringify(body.value);
      request.headers = { 'content-type': body.type };
    }
    const { text } = await this.request(request);
    try {
      return JSON.parse(text) as T; // the server's word for its own API: shapes are checked where fields are used
    } catch (cause) {
      throw new InterceptorError(
        'CLUSTER_REFUSED',
        `${this.access.server} did not answer ${method} ${path} with JSON`,
        {
          hint: 'is this a Kubernetes API server, or a proxy or login page in front of it?',
          cause,
        },
      );
    }
  }

  /** @returns an answer below 400, its body unread, and the call's deadline, which the caller disposes */
  async #open(request: RawRequest): Promise<{ answer: Answer; limit: Deadline }> {
    const limit = deadline(request.signal, request.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    try {
      const path = withQuery(request.path, request.query ?? {});
      const answer = await this.#exchange.send({ ...request, path }, limit);
      if (answer.status < 400) return { answer, limit };
      const text = await readText(answer.body);
      const credentials = answer.status === 401 ? await this.access.credentials(limit.signal) : undefined;
      throw statusError(answer.status, text, {
        access: this.access,
        credentials,
        method: request.method,
        path: request.path,
      });
    } catch (error) {
      const failure = this.#failure(error, request, limit);
      limit.dispose();
      throw failure;
    }
  }

  #failure(error: unknown, request: RawRequest, limit: Deadline): unknown {
    if (limit.expired()) {
      const call = `${request.method} ${request.path}`;
      return noAnswer(this.access, call, request.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    }
    if (request.signal?.aborted === true) return request.signal.reason;
    return error instanceof InterceptorError ? error : unreachable(this.access, error);
  }
}

function written(options: WriteOptions): CallOptions {
  const dryRun = options.dryRun === true ? 'All' : undefined;
  return { ...options, query: { fieldManager: options.fieldManager ?? FIELD_MANAGER, dryRun, ...options.query } };
}

async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`answer larger than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  // undici frees a connection one turn of the event loop after the answer's end; a request before that would open another.
  await setImmediate();
  return Buffer.concat(chunks).toString('utf8');
}
