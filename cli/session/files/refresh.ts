import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Fetched, fetchFile } from './fetch.ts';
import type { FilesFolder } from './folder.ts';
import { checkLimits, type ListedFile, type Listing, listFiles, sizeText, tooMuch } from './listing.ts';
import { applyToTree } from './tree.ts';
import type { FilesLimits, FilesTunnel } from './types.ts';

/** Files on their way at once: a round trip each is what small files cost. */
const PARALLEL_TRANSFERS = 8;
/** Listings of one refresh. A file that is written all the time would never be the same twice. */
const MAX_ROUNDS = 4;

/** A copy in the tree. */
interface Held {
  readonly names: readonly string[];
  readonly version: string;
  readonly hash: string;
  readonly mode: number;
}

interface Staged extends Held {
  readonly from: string;
  readonly bytes: number;
}

export interface Refreshed {
  readonly roots: readonly string[];
  readonly unreadable: readonly string[];
  /** Copies that are new or have other contents. */
  readonly placed: number;
  readonly removed: number;
}

/** The tree of copies and what it holds; one refresh at a time. */
export class CopyTree {
  readonly #folder: FilesFolder;
  readonly #limits: FilesLimits;
  readonly #exclude: readonly string[];
  #held = new Map<string, Held>();
  /** Versions are told apart within one pod only. */
  #heldFrom: FilesTunnel | undefined;
  #nextName = 0;

  constructor(folder: FilesFolder, exclude: readonly string[], limits: FilesLimits) {
    this.#folder = folder;
    this.#exclude = exclude;
    this.#limits = limits;
  }

  /**
   * Makes the tree what the pod's volumes are now, all or nothing: what has changed is copied beside it, listed again to see
   * that it belongs together, and put in place in one go. A failure leaves the tree as it was.
   * @throws InterceptorError FILES_LIMIT, TUNNEL_LOST; RequestRefused; system errors of the disk
   */
  async refresh(tunnel: FilesTunnel, signal: AbortSignal): Promise<Refreshed> {
    const staged = new Map<string, Staged>();
    const unreadable = new Set<string>();
    try {
      let listing = await this.#list(tunnel, signal);
      for (let round = 1; ; round++) {
        const wanted = [...listing.files.values()].filter(
          ({ path, version }) => !unreadable.has(path) && this.#versionOf(path, tunnel, staged) !== version,
        );
        if (wanted.length === 0 || round === MAX_ROUNDS) break;
        await this.#fetchAll(tunnel, wanted, staged, unreadable, signal);
        listing = await this.#list(tunnel, signal);
      }
      for (const path of listing.unreadable) unreadable.add(path);
      signal.throwIfAborted();
      return this.#place(tunnel, listing, staged, unreadable);
    } finally {
      await this.#clearStaging();
    }
  }

  async #list(tunnel: FilesTunnel, signal: AbortSignal): Promise<Listing> {
    const listing = await listFiles(tunnel, this.#exclude, this.#limits);
    signal.throwIfAborted();
    return listing;
  }

  #versionOf(path: string, tunnel: FilesTunnel, staged: ReadonlyMap<string, Staged>): string | undefined {
    return staged.get(path)?.version ?? (this.#heldFrom === tunnel ? this.#held.get(path)?.version : undefined);
  }

  async #fetchAll(
    tunnel: FilesTunnel,
    wanted: readonly ListedFile[],
    staged: Map<string, Staged>,
    unreadable: Set<string>,
    signal: AbortSignal,
  ): Promise<void> {
    const failed = new AbortController(); // one disk error ends the others
    const either = AbortSignal.any([signal, failed.signal]);
    const left = wanted.values();
    const work = async (): Promise<void> => {
      for (const file of left) {
        const target = {
          path: join(this.#folder.staging, String(this.#nextName++)),
          mode: file.executable ? 0o500 : 0o400,
        };
        const fetched = await fetchFile(tunnel.mux, file.path, target, this.#limits.maxFileBytes, either);
        this.#take(file, target, fetched, staged, unreadable);
      }
    };
    const workers = Array.from({ length: Math.min(PARALLEL_TRANSFERS, wanted.length) }, async () => {
      await work().catch((error: unknown) => {
        failed.abort(error);
        throw error;
      });
    });
    await Promise.allSettled(workers); // nobody writes into staging after this
    signal.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
    const sizes = [...staged].map(([path, { bytes }]) => ({ path, size: bytes }));
    checkLimits(sizes, this.#limits);
  }

  #take(
    file: ListedFile,
    target: { readonly path: string; readonly mode: number },
    fetched: Fetched,
    staged: Map<string, Staged>,
    unreadable: Set<string>,
  ): void {
    const { path, names, version } = file;
    switch (fetched.state) {
      case 'copied': {
        const { bytes, hash } = fetched;
        staged.set(path, { names, version, hash, mode: target.mode, from: target.path, bytes });
        return;
      }
      case 'vanished':
        return; // the next listing knows it no more
      case 'unreadable':
        unreadable.add(path);
        return;
      case 'too-large':
        throw tooMuch(`${path} has grown larger than ${sizeText(this.#limits.maxFileBytes)}`);
      default:
        fetched satisfies never;
    }
  }

  #place(
    tunnel: FilesTunnel,
    listing: Listing,
    staged: ReadonlyMap<string, Staged>,
    unreadable: ReadonlySet<string>,
  ): Refreshed {
    const next = new Map<string, Held>();
    const placed: Staged[] = [];
    for (const path of listing.files.keys()) {
      const arrived = staged.get(path);
      const before = this.#held.get(path);
      if (arrived !== undefined) {
        next.set(path, arrived);
        // Another pod's file of the same contents: a program that watches it need not read it again.
        if (before?.hash !== arrived.hash || before.mode !== arrived.mode) placed.push(arrived);
      } else if (before !== undefined) next.set(path, before); // unchanged, or not readable just now
    }
    const removed = [...this.#held].flatMap(([path, { names }]) => (next.has(path) ? [] : [names]));
    const folders = listing.roots.filter(({ path }) => !listing.files.has(path)).map(({ names }) => names);
    applyToTree(this.#folder.root, { folders, placed, removed });
    this.#held = next;
    this.#heldFrom = tunnel;
    const roots = listing.roots.flatMap(({ path }) => (listing.files.has(path) && !next.has(path) ? [] : [path]));
    return { roots, unreadable: [...unreadable].sort(), placed: placed.length, removed: removed.length };
  }

  async #clearStaging(): Promise<void> {
    await rm(this.#folder.staging, { recursive: true, force: true });
    await mkdir(this.#folder.staging, { mode: 0o700 });
  }
}
