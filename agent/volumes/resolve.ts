import { lstat, readlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { systemErrorCode } from '../../src/errors.ts';
import { placeOf, rootOf, type VolumeRoot } from './roots.ts';

/** As many links as the kernel follows (MAXSYMLINKS). */
const MAX_LINKS = 40;

/** Where a path leads: an app's path without links, and its place in the agent's container. */
export interface Resolved {
  readonly path: string;
  readonly place: string;
}

/**
 * Follows the links of an app's path as the app's container would: an absolute link names one of the app's paths, not one
 * of the agent's. Nothing outside the volumes is ever looked at.
 * @param path absolute, in any form
 * @returns undefined when it leads out of the volumes, nowhere, or round in circles
 * @throws the system's error (EACCES) when a folder on the way cannot be entered
 */
export async function resolvePath(roots: readonly VolumeRoot[], path: string): Promise<Resolved | undefined> {
  let wanted = posix.resolve('/', path);
  for (let links = 0; links <= MAX_LINKS; links += 1) {
    const step = await firstLink(roots, wanted);
    if (step === 'none') {
      const place = placeOf(roots, wanted);
      return place === undefined ? undefined : { path: wanted, place };
    }
    if (step === 'missing') return undefined;
    wanted = step.leadsTo;
  }
  return undefined;
}

/** Looks at each part of the path below its root. */
async function firstLink(
  roots: readonly VolumeRoot[],
  path: string,
): Promise<'none' | 'missing' | { readonly leadsTo: string }> {
  const root = rootOf(roots, path);
  if (root === undefined) return 'missing';
  const names = path.slice(root.path.length).split('/').filter(Boolean);
  let at = root.path;
  for (const [index, name] of names.entries()) {
    at = posix.join(at, name);
    const place = placeOf(roots, at);
    if (place === undefined) return 'missing';
    try {
      if (!(await lstat(place)).isSymbolicLink()) continue;
      const target = posix.resolve(posix.dirname(at), await readlink(place));
      return { leadsTo: posix.join(target, ...names.slice(index + 1)) };
    } catch (failure) {
      if (isMissing(failure)) return 'missing';
      throw failure;
    }
  }
  return 'none';
}

/** Whether a system call failed because what it named is not there (any more). */
export function isMissing(failure: unknown): boolean {
  const code = systemErrorCode(failure);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
}
