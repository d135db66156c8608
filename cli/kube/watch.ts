import type { Readable } from 'node:stream';
import { errorText } from '../../src/errors.ts';
import { type KubeClient, type KubeObject, withQuery } from './client.ts';
import { delay } from './client-deadline.ts';
import { isExpired, KubeStatusError } from './status-errors.ts';
import { readWatchEvents, type WatchLine } from './watch-lines.ts';

/** The server ends a watch after this long; Kubernetes' own clients ask for 5 to 10 minutes. */
const DEFAULT_TIMEOUT_SECONDS = 240;
/** The watch must have ended this long after its time: else its path is dead and the server's end never came. */
const END_GRACE_MS = 15_000;
const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 10_000;
/** A watch that lived this long is healthy: the next failure starts at the first delay again. */
const HEALTHY_AFTER_MS = 5_000;
const MAX_OBJECTS = 50_000;
/** Counted no further: the delay has reached its maximum long before. */
const MAX_FAILURES = 16;

export type WatchEvent<T extends KubeObject = KubeObject> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  /** All objects of a list have been delivered: once at the start, again after each list that followed a gap. */
  | { readonly type: 'SYNC' };

export type WatchState =
  | { readonly state: 'connected' }
  | { readonly state: 'reconnecting'; readonly error: unknown; readonly delayMs: number };

export interface WatchOptions {
  readonly signal: AbortSignal;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** How long after timeoutSeconds the server's end may come; END_GRACE_MS unless given. */
  readonly endGraceMs?: number | undefined;
  readonly onState?: ((state: WatchState) => void) | undefined;
}

/**
 * The objects of a collection now (ADDED …, SYNC) and every change after that, for as long as the signal allows: through ended
 * watches, API server restarts, lost networks and compacted history. After a gap only differences are delivered, vanished
 * objects as DELETED with their last known state.
 * @param path of the collection; one object is watched with fieldSelector metadata.name=…
 * @returns ends without error when the signal aborts
 * @throws the first list's error (no rights, no server); later errors only go to onState
 */
export async function* watch<T extends KubeObject = KubeObject>(
  client: KubeClient,
  path: string,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  const { signal } = options;
  const supervisor = new Supervisor<T>(client, path, options);
  try {
    yield* supervisor.relist();
    for (;;) yield* supervisor.step();
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

class Supervisor<T extends KubeObject> {
  readonly #client: KubeClient;
  readonly #path: string;
  readonly #options: WatchOptions;
  readonly #known = new Map<string, T>();
  #resourceVersion: string | undefined;
  #failures = 0;

  constructor(client: KubeClient, path: string, options: WatchOptions) {
    this.#client = client;
    this.#path = path;
    this.#options = options;
  }

  /** Lists, and delivers what differs from what is known. */
  async *relist(): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { signal, labelSelector, fieldSelector } = this.#options;
    const list = await this.#client.list<T>(this.#path, { signal, labelSelector, fieldSelector });
    if (list.items.length > MAX_OBJECTS) throw new Error(`${this.#path} has more than ${MAX_OBJECTS} objects to watch`);
    const listed = new Set(list.items.map(keyOf));
    // First: an object that was made anew has the name of the one that vanished (a StatefulSet's pod).
    for (const [key, object] of [...this.#known]) {
      if (listed.has(key)) continue;
      this.#known.delete(key);
      yield { type: 'DELETED', object };
    }
    for (const object of list.items) {
      const key = keyOf(object);
      const before = this.#known.get(key);
      this.#known.set(key, object);
      if (before === undefined) yield { type: 'ADDED', object };
      else if (before.metadata.resourceVersion !== object.metadata.resourceVersion) yield { type: 'MODIFIED', object };
    }
    this.#resourceVersion = list.metadata.resourceVersion;
    yield { type: 'SYNC' };
  }

  /** One watch (after a list where the history is lost), and the wait that must follow it. */
  async *step(): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const startedMs = performance.now();
    let failure: unknown;
    try {
      if (this.#resourceVersion === undefined) yield* this.relist();
      yield* this.#watchOnce();
    } catch (error) {
      this.#options.signal.throwIfAborted();
      // 410: the history from our version on is gone. Other refusals (a version of before an etcd restore) are cured by a list
      // too. The list also waits: a server that refuses at once must not be asked in a loop.
      if (error instanceof KubeStatusError) this.#resourceVersion = undefined;
      failure = error;
    }
    const lived = performance.now() - startedMs > HEALTHY_AFTER_MS;
    if (lived) this.#failures = 0;
    if (lived && failure === undefined) return; // the server's regular end: go on from the last version at once
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    this.#failures = Math.min(this.#failures + 1, MAX_FAILURES);
    if (failure !== undefined && !isExpired(failure)) {
      this.#options.onState?.({ state: 'reconnecting', error: failure, delayMs });
    }
    await delay(delayMs, this.#options.signal);
  }

  async *#watchOnce(): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const { signal, labelSelector, fieldSelector } = this.#options;
    const timeoutSeconds = this.#options.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS;
    const query = {
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds,
      labelSelector,
      fieldSelector,
    };
    const body = await this.#client.stream(withQuery(this.#path, query), { signal });
    const cut = setTimeout(
      () => body.destroy(new Error(`the watch did not end in time: the connection is dead`)),
      timeoutSeconds * 1000 + (this.#options.endGraceMs ?? END_GRACE_MS),
    );
    try {
      this.#options.onState?.({ state: 'connected' });
      for await (const line of readWatchEvents<T>(body)) {
        const event = this.#apply(line);
        if (event !== undefined) yield event;
      }
    } finally {
      clearTimeout(cut);
      destroyQuietly(body);
    }
  }

  /** Takes the event into what is known. @returns what to deliver; nothing for bookmarks and repetitions */
  #apply(line: WatchLine<T>): WatchEvent<T> | undefined {
    const { object } = line;
    this.#resourceVersion = object.metadata.resourceVersion ?? this.#resourceVersion;
    if (line.type === 'BOOKMARK') return undefined;
    const key = keyOf(object);
    const known = this.#known.has(key);
    if (line.type === 'DELETED') {
      this.#known.delete(key);
      return known ? { type: 'DELETED', object } : undefined;
    }
    if (!known && this.#known.size >= MAX_OBJECTS) throw new Error(`more than ${MAX_OBJECTS} objects to watch`);
    this.#known.set(key, object);
    return { type: known ? 'MODIFIED' : 'ADDED', object };
  }
}

/** An object that was deleted and made again under its name is another one. */
function keyOf(object: KubeObject): string {
  return object.metadata.uid ?? `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

function destroyQuietly(body: Readable): void {
  body.on('error', () => {}); // destroying a body that is not at its end reports itself as an abort
  body.destroy();
}

/** For a log line about a WatchState. */
export function describeState(state: WatchState): string {
  return state.state === 'connected' ? 'connected' : `reconnecting: ${errorText(state.error)}`;
}
