import { createHash } from 'node:crypto';
import { type FSWatcher, watch } from 'node:fs';
import { MAX_WATCHED_FOLDERS, VOLUMES_POLL_MS, VOLUMES_SETTLE_MS } from '../limits.ts';
import type { VolumeListing } from './list.ts';

export interface WatchOptions {
  /** What is there now; rejects when there is more than may be listed, which is a change, too. */
  readonly list: () => Promise<VolumeListing>;
  readonly onChange: () => void;
  readonly pollMs?: number;
}

/**
 * Tells when the app's volumes have changed: at once where the kernel tells (the kubelet's rename of `..data`, files of an
 * emptyDir), within a poll where it does not (network file systems, more folders than are watched).
 */
export class VolumeWatcher {
  readonly #options: WatchOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #poll: NodeJS.Timeout;
  #settle: NodeJS.Timeout | undefined;
  #fingerprint: string;
  #looking = false;
  #lookAgain = false;
  #closed = false;

  /** @param known what was listed last: changes since are told */
  constructor(known: VolumeListing, options: WatchOptions) {
    this.#options = options;
    this.#fingerprint = fingerprintOf(known);
    this.#watch(known.places);
    this.#poll = setInterval(() => this.#look(), options.pollMs ?? VOLUMES_POLL_MS);
    this.#soon(); // what changed between the list and the watch
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#settle);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #soon(): void {
    if (this.#closed) return;
    this.#settle ??= setTimeout(() => {
      this.#settle = undefined;
      this.#look();
    }, VOLUMES_SETTLE_MS);
  }

  #look(): void {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    void this.#compare().finally(() => {
      this.#looking = false;
      const again = this.#lookAgain;
      this.#lookAgain = false;
      if (again) this.#soon();
    });
  }

  async #compare(): Promise<void> {
    const listing = await this.#options.list().catch(() => undefined); // FILES_LIMIT: who asks again is told
    if (this.#closed) return;
    const fingerprint = listing === undefined ? 'too much' : fingerprintOf(listing);
    if (listing !== undefined) this.#watch(listing.places);
    if (fingerprint === this.#fingerprint) return;
    this.#fingerprint = fingerprint;
    this.#options.onChange();
  }

  #watch(places: readonly string[]): void {
    const wanted = new Set(places.slice(0, MAX_WATCHED_FOLDERS));
    for (const [place, watcher] of this.#watchers) {
      if (wanted.has(place)) continue;
      watcher.close();
      this.#watchers.delete(place);
    }
    for (const place of wanted) if (!this.#watchers.has(place)) this.#watchOne(place);
  }

  #watchOne(place: string): void {
    try {
      const watcher = watch(place, { persistent: false }, () => this.#soon());
      this.#watchers.set(place, watcher);
      watcher.on('error', () => {
        watcher.close();
        if (this.#watchers.get(place) === watcher) this.#watchers.delete(place);
      });
    } catch {
      // ENOSPC, EMFILE: no more watches on this node; ENOENT: it is gone. The poll finds what changes.
    }
  }
}

function fingerprintOf({ files, unreadable }: VolumeListing): string {
  return createHash('sha256')
    .update(JSON.stringify([files, unreadable]))
    .digest('base64');
}
