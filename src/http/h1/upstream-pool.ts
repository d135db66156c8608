import type { Resettable } from '../routing.ts';
import { MAX_UPSTREAMS } from './limits.ts';
import { Upstream } from './upstream.ts';

/** The connections to answerers that one caller's connection has: at most one of each answerer is kept for the next request. */
export class UpstreamPool {
  readonly #open = new Set<Upstream>();
  /** By answerer, the one unused for longest first. */
  readonly #kept = new Map<string, Upstream>();
  readonly #onClosed: () => void;

  /** @param onClosed called when one of them is closed */
  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
  }

  /** How many are not closed yet. */
  get openCount(): number {
    return this.#open.size;
  }

  adopt(id: string, stream: Resettable): Upstream {
    const upstream = new Upstream(id, stream, (gone, closed) => {
      if (this.#kept.get(id) === gone) this.#kept.delete(id);
      if (!closed) return;
      this.#open.delete(gone);
      this.#onClosed();
    });
    this.#open.add(upstream);
    return upstream;
  }

  /** The kept connection of that answerer, which is then no longer kept. */
  take(id: string): Upstream | undefined {
    const upstream = this.#kept.get(id);
    this.#kept.delete(id);
    return upstream;
  }

  keep(upstream: Upstream): void {
    upstream.stream.resume(); // so that its end is seen
    this.#kept.get(upstream.id)?.end();
    this.#kept.delete(upstream.id);
    this.#kept.set(upstream.id, upstream);
    if (this.#kept.size <= MAX_UPSTREAMS) return;
    for (const [id, oldest] of this.#kept) {
      this.#kept.delete(id);
      oldest.end();
      break;
    }
  }

  /** Ends those that nobody uses. */
  endAll(): void {
    const kept = [...this.#kept.values()];
    this.#kept.clear();
    for (const upstream of kept) upstream.end();
  }

  cutAll(): void {
    this.#kept.clear();
    for (const upstream of this.#open) upstream.cut();
  }
}
