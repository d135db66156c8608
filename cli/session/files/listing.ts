import { InterceptorError } from '../../../src/errors.ts';
import { compileGlobs } from '../../../src/glob.ts';
import { isRecord } from '../../../src/is-record.ts';
import type { PodFile } from '../../../src/protocol/control.ts';
import { RequestRefused } from '../control-client.ts';
import { pathNames } from './paths.ts';
import type { FilesLimits, FilesTunnel } from './types.ts';

/** A walk through a slow network disk of the pod takes its time. */
const LIST_TIMEOUT_MS = 60_000;
const OFFENDERS_SHOWN = 5;

/** A file of the app and where it goes below the root. */
export interface ListedFile {
  readonly path: string;
  readonly names: readonly string[];
  readonly size: number;
  readonly executable: boolean;
  readonly version: string;
}

export interface Listing {
  /** Mount paths that hold copies, folders unless a file of that path is listed. */
  readonly roots: readonly { readonly path: string; readonly names: readonly string[] }[];
  readonly files: ReadonlyMap<string, ListedFile>;
  /** Paths that are left out: the agent cannot read them, or they cannot exist here. */
  readonly unreadable: readonly string[];
}

/**
 * Asks the agent what there is, and to tell of changes from now on.
 * @throws InterceptorError FILES_LIMIT; RequestRefused; TUNNEL_LOST
 */
export async function listFiles(
  tunnel: FilesTunnel,
  exclude: readonly string[],
  limits: FilesLimits,
): Promise<Listing> {
  const { maxFiles, maxBytes } = limits;
  try {
    const params = { exclude, maxFiles, maxBytes, watch: true };
    const result: unknown = await tunnel.control.request('files', params, { timeoutMs: LIST_TIMEOUT_MS });
    return readListing(result, exclude, limits);
  } catch (error) {
    if (error instanceof RequestRefused && error.refusal.code === 'FILES_LIMIT')
      throw tooMuch(error.refusal.message, error);
    throw error;
  }
}

/** Checks what an agent answered. Pure. @throws InterceptorError FILES_LIMIT, PROTOCOL_BAD_MESSAGE */
export function readListing(result: unknown, exclude: readonly string[], limits: FilesLimits): Listing {
  if (!isRecord(result) || !Array.isArray(result.roots) || !Array.isArray(result.files))
    throw new InterceptorError('PROTOCOL_BAD_MESSAGE', 'the answer to files is none');
  const isExcluded = compileGlobs(exclude);
  const unreadable = textsOf(result.unreadable).filter((path) => !isExcluded(path));
  const files = new Map<string, ListedFile>();
  for (const file of result.files as unknown[]) {
    if (!isPodFile(file) || isExcluded(file.path)) continue;
    const names = pathNames(file.path);
    const path = names === undefined ? file.path : `/${names.join('/')}`;
    if (names === undefined) unreadable.push(file.path);
    else
      files.set(path, { path, names, size: file.size, executable: (file.mode & 0o111) !== 0, version: file.version });
  }
  checkLimits([...files.values()], limits);
  const roots = textsOf(result.roots).flatMap((root) => {
    const names = pathNames(root);
    return names === undefined || isExcluded(root) || unreadable.includes(root)
      ? []
      : [{ path: `/${names.join('/')}`, names }];
  });
  return { roots, files, unreadable };
}

/** @throws InterceptorError FILES_LIMIT with the figure and the largest */
export function checkLimits(
  files: readonly { readonly path: string; readonly size: number }[],
  limits: FilesLimits,
): void {
  const bySize = [...files].sort((a, b) => b.size - a.size);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const large = bySize.filter(({ size }) => size > limits.maxFileBytes);
  const most = (some: readonly { readonly path: string; readonly size: number }[]): string =>
    some
      .slice(0, OFFENDERS_SHOWN)
      .map(({ path, size }) => `${path} (${sizeText(size)})`)
      .join(', ');
  if (large.length > 0)
    throw tooMuch(`the app's volumes hold files larger than ${sizeText(limits.maxFileBytes)}: ${most(large)}`);
  if (bytes > limits.maxBytes)
    throw tooMuch(
      `the app's volumes hold ${sizeText(bytes)}, more than ${sizeText(limits.maxBytes)}; the largest: ${most(bySize)}`,
    );
  if (files.length > limits.maxFiles)
    throw tooMuch(
      `the app's volumes hold ${files.length} files, more than ${limits.maxFiles}; most are in ${fullest(files)}`,
    );
}

/** An error that says how to leave out what the process does not need. */
export function tooMuch(message: string, cause?: unknown): InterceptorError {
  return new InterceptorError('FILES_LIMIT', message, {
    hint: "leave out what the process does not need: --files-exclude '/path/**' (may be repeated), or all of it: --files off",
    cause,
  });
}

/** `16 MiB`, `1.5 GiB`. */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  const unit = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** unit;
  return `${unit === 0 || value >= 10 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, '')} ${units[unit]}`;
}

function fullest(files: readonly { readonly path: string }[]): string {
  const counts = new Map<string, number>();
  for (const { path } of files) {
    const folder = path.slice(0, path.lastIndexOf('/'));
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  const most = [...counts].sort(([, a], [, b]) => b - a).slice(0, OFFENDERS_SHOWN);
  return most.map(([folder, count]) => `${folder === '' ? '/' : folder} (${count})`).join(', ');
}

function isPodFile(value: unknown): value is PodFile {
  if (!isRecord(value)) return false;
  const { path, size, mode, version } = value;
  return typeof path === 'string' && isCount(size) && isCount(mode) && typeof version === 'string';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : [];
}
