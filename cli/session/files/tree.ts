import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync, type Stats, unlinkSync } from 'node:fs';
import { join } from 'node:path';

/** What a refresh does to the tree of copies: files by their names from the root down. */
export interface TreeChange {
  /** Folders that exist even when empty: the mount paths. */
  readonly folders: readonly (readonly string[])[];
  /** Complete files (on the same disk) and where they belong. */
  readonly placed: readonly { readonly names: readonly string[]; readonly from: string }[];
  readonly removed: readonly (readonly string[])[];
}

/**
 * Applies a change below `root`. Readers see each file old or new, never a part: files are renamed into place. In one go without
 * a turn of the event loop, so that files that belong together (a certificate and its key) differ for microseconds only.
 * No link is followed: one that stands where a folder of ours should be is replaced.
 * @throws system errors; what was placed until then stays
 */
export function applyToTree(root: string, change: TreeChange): void {
  // Folders first: only they need room on a full disk.
  for (const names of change.folders) makeFolders(root, names);
  for (const { names } of change.placed) makeFolders(root, names.slice(0, -1));
  for (const { names, from } of change.placed) {
    const path = join(root, ...names);
    if (find(path)?.isDirectory()) rmSync(path, { recursive: true });
    renameSync(from, path);
  }
  for (const names of change.removed) remove(root, names);
  const keep = new Set(change.folders.map((names) => join(root, ...names)));
  for (const names of change.removed) pruneEmpty(root, names, keep);
}

function makeFolders(root: string, names: readonly string[]): void {
  let path = root;
  for (const name of names) {
    path = join(path, name);
    const found = find(path);
    if (found?.isDirectory()) continue;
    if (found !== undefined) unlinkSync(path); // a file that became a folder, or a link that is none of ours
    mkdirSync(path, { mode: 0o700 });
  }
}

/** Only what is reached through folders of ours. */
function remove(root: string, names: readonly string[]): void {
  let path = root;
  for (const name of names.slice(0, -1)) {
    path = join(path, name);
    if (!find(path)?.isDirectory()) return;
  }
  path = join(root, ...names);
  const found = find(path);
  if (found !== undefined && !found.isDirectory()) unlinkSync(path);
}

/** Folders that this removal left empty, from the inside out. */
function pruneEmpty(root: string, names: readonly string[], keep: ReadonlySet<string>): void {
  for (let depth = names.length - 1; depth > 0; depth--) {
    const path = join(root, ...names.slice(0, depth));
    if (keep.has(path) || !find(path)?.isDirectory() || readdirSync(path).length > 0) return;
    rmdirSync(path);
  }
}

function find(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
