import type { BigIntStats } from 'node:fs';
import { constants } from 'node:fs';
import { access, lstat, readdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { compileGlobs } from '../../src/glob.ts';
import type { PodFile } from '../../src/protocol/control.ts';
import { MAX_CONTROL_BYTES } from '../../src/protocol/limits.ts';
import { MAX_VOLUME_DEPTH, MAX_VOLUME_ENTRIES } from '../limits.ts';
import { RequestFailure } from '../request-failure.ts';
import { isMissing, resolvePath } from './resolve.ts';
import type { VolumeRoot } from './roots.ts';

/** What the answer may take of a control message; the rest is its envelope. */
const MAX_LISTING_BYTES = MAX_CONTROL_BYTES - 4 * 1024;
/** JSON of a file beside its path: names, numbers, quotes. */
const LISTED_FILE_BYTES = 140;

/** Of what is too much. */
const LARGEST_NAMED = 3;

export interface ListOptions {
  /** Globs on the app's paths (src/glob.ts). */
  readonly exclude: readonly string[];
  readonly maxFiles: number;
  readonly maxBytes: number;
}

export interface VolumeListing {
  readonly files: readonly PodFile[];
  /** Paths of the app's that the agent may not read, and links that lead out of the volumes. */
  readonly unreadable: readonly string[];
  /** Folders in the agent's container that were looked at: those to watch. */
  readonly places: readonly string[];
}

/**
 * What is in the app's volumes. Links are followed as the app would, so that what the kubelet made of links (`..data`) and
 * what the app made is listed as plain files; sockets, devices and FIFOs are left out.
 * @throws RequestFailure FILES_LIMIT with the figures, when there is more than asked for or fits an answer
 */
export async function listVolumes(roots: readonly VolumeRoot[], options: ListOptions): Promise<VolumeListing> {
  const walk = new VolumeWalk(roots, options);
  for (const root of roots) await walk.root(root);
  return walk.finish();
}

class VolumeWalk {
  readonly #roots: readonly VolumeRoot[];
  readonly #options: ListOptions;
  readonly #isExcluded: (path: string) => boolean;
  readonly #files: PodFile[] = [];
  readonly #unreadable: string[] = [];
  readonly #places: string[] = [];
  /** By root, for a message that names where most is. */
  readonly #bytes = new Map<string, number>();
  #largest: { readonly path: string; readonly size: number }[] = [];
  #current = '';
  #fileCount = 0;
  #byteCount = 0;
  #listingBytes = 0;
  #entries = 0;

  constructor(roots: readonly VolumeRoot[], options: ListOptions) {
    this.#roots = roots;
    this.#options = options;
    this.#isExcluded = compileGlobs(options.exclude);
    for (const { path } of roots) this.#listingBytes += Buffer.byteLength(JSON.stringify(path)) + 1;
  }

  async root({ path, place }: VolumeRoot): Promise<void> {
    this.#current = path;
    if (!this.#isExcluded(path)) await this.#entry(path, place, []);
  }

  finish(): VolumeListing {
    const { maxFiles, maxBytes } = this.#options;
    const isTooLong = this.#listingBytes > MAX_LISTING_BYTES;
    if (this.#entries > MAX_VOLUME_ENTRIES || this.#fileCount > maxFiles || this.#byteCount > maxBytes || isTooLong) {
      const found = `${this.#entries > MAX_VOLUME_ENTRIES ? 'more than ' : ''}${this.#fileCount} files, ${mebibytes(this.#byteCount)} MiB`;
      const [fullest] = [...this.#bytes].sort(([, a], [, b]) => b - a);
      const most = fullest === undefined ? '' : `, most of it in ${fullest[0]}`;
      const largest = this.#largest.map(({ path, size }) => `${path} (${mebibytes(size)} MiB)`).join(', ');
      const names = this.#byteCount > maxBytes ? `; the largest: ${largest}` : '';
      const list = isTooLong && this.#fileCount <= maxFiles ? '; their list is too long for one answer' : '';
      throw new RequestFailure(
        'FILES_LIMIT',
        `the app's volumes hold ${found}${most}; at most ${maxFiles} files and ${mebibytes(maxBytes)} MiB are copied${list}${names}`,
      );
    }
    return { files: this.#files, unreadable: this.#unreadable, places: this.#places };
  }

  /** @param above real folders that lead here, against links in circles */
  async #entry(path: string, place: string, above: readonly string[]): Promise<void> {
    this.#entries += 1;
    if (this.#entries > MAX_VOLUME_ENTRIES) return;
    try {
      const stats = await lstat(place, { bigint: true });
      if (stats.isSymbolicLink()) await this.#link(path, above);
      else if (stats.isDirectory()) await this.#folder(path, place, above);
      else if (stats.isFile()) await this.#file(path, place, stats);
    } catch (failure) {
      if (!isMissing(failure)) this.#addUnreadable(path); // missing: it went away meanwhile
    }
  }

  /** @param path may name a folder through links; its files are listed under this name */
  async #folder(path: string, place: string, above: readonly string[]): Promise<void> {
    if (above.includes(place) || above.length > MAX_VOLUME_DEPTH) return;
    const names = (await readdir(place)).sort();
    this.#places.push(place);
    const isKubelets = names.includes('..data');
    for (const name of names) {
      // The kubelet's own: ..data and the folders it leads to (AtomicWriter). A key never begins like this.
      if (isKubelets && name.startsWith('..')) continue;
      const below = posix.join(path, name);
      if (this.#isExcluded(below) || this.#roots.some((root) => root.path === below)) continue;
      await this.#entry(below, posix.join(place, name), [...above, place]);
    }
  }

  async #link(path: string, above: readonly string[]): Promise<void> {
    const target = await resolvePath(this.#roots, path);
    if (target === undefined) {
      this.#addUnreadable(path);
      return;
    }
    const stats = await lstat(target.place, { bigint: true });
    if (stats.isDirectory()) await this.#folder(path, target.place, above);
    else if (stats.isFile()) await this.#file(path, target.place, stats);
  }

  async #file(path: string, place: string, stats: BigIntStats): Promise<void> {
    await access(place, constants.R_OK);
    const size = Number(stats.size);
    this.#fileCount += 1;
    this.#byteCount += size;
    this.#bytes.set(this.#current, (this.#bytes.get(this.#current) ?? 0) + size);
    if (this.#largest.length < LARGEST_NAMED || size > (this.#largest.at(-1)?.size ?? 0))
      this.#largest = [...this.#largest, { path, size }].sort((a, b) => b.size - a.size).slice(0, LARGEST_NAMED);
    this.#listingBytes += Buffer.byteLength(JSON.stringify(path)) + LISTED_FILE_BYTES;
    if (this.#fileCount > this.#options.maxFiles || this.#listingBytes > MAX_LISTING_BYTES) return; // only counted
    const version = `${stats.ino}-${stats.ctimeNs}`;
    this.#files.push({ path, size, mode: Number(stats.mode & 0o777n), mtimeMs: Number(stats.mtimeMs), version });
  }

  #addUnreadable(path: string): void {
    this.#listingBytes += Buffer.byteLength(JSON.stringify(path)) + 1;
    if (this.#listingBytes <= MAX_LISTING_BYTES) this.#unreadable.push(path);
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(1);
}
