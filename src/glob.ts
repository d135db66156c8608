/** Longer patterns are refused: nobody types them, and matching costs pattern times path. */
const MAX_GLOB_LENGTH = 1024;

/**
 * What is wrong with a glob, for people; undefined when nothing is.
 * Globs name absolute paths: `*` and `?` stop at a slash, `**` is any number of folders. A glob without a slash is a name in
 * any folder (`*.sock`); one that does not begin with a slash may begin in any folder. A folder's glob names all that is in it.
 */
export function globProblem(glob: string): string | undefined {
  if (glob === '' || /^\/+$/.test(glob)) return 'it names nothing';
  if (glob.length > MAX_GLOB_LENGTH) return `it is longer than ${MAX_GLOB_LENGTH} characters`;
  if (glob.includes('\0')) return 'it holds a NUL';
  return undefined;
}

/**
 * A matcher for paths that any of the globs names (see globProblem for what they mean). Globs with a problem match nothing.
 * @returns whether the absolute path is named, by itself or by a folder above it
 */
export function compileGlobs(globs: readonly string[]): (path: string) => boolean {
  const compiled = globs.filter((glob) => globProblem(glob) === undefined).map(segmentsOf);
  return (path) => {
    const names = path.split('/').filter((name) => name !== '');
    return compiled.some((segments) => namesPath(segments, names));
  };
}

function segmentsOf(glob: string): string[] {
  const segments = glob.split('/').filter((segment) => segment !== '');
  return glob.startsWith('/') ? segments : ['**', ...segments];
}

/**
 * Walks both once, with the last `**` as the only place to go back to (a later one can do all that an earlier one can):
 * no pattern takes longer than its length times the path's.
 */
function namesPath(segments: readonly string[], names: readonly string[]): boolean {
  let at = 0;
  let name = 0;
  let retry: { readonly at: number; name: number } | undefined;
  for (;;) {
    const segment = segments[at];
    // A glob that is used up names a folder above, or the path itself; `/a/**` names what is in a, not a.
    if (segment === undefined) return true;
    const current = names[name];
    if (current === undefined) return false;
    if (segment === '**') {
      at += 1;
      retry = { at, name };
      if (at === segments.length) return true;
    } else if (namesSegment(segment, current)) {
      at += 1;
      name += 1;
    } else if (retry !== undefined) {
      retry.name += 1;
      at = retry.at;
      name = retry.name;
    } else return false;
  }
}

/** `*` and `?` inside one name; both walked by code unit, the last `*` being the only place to go back to. */
function namesSegment(segment: string, name: string): boolean {
  let at = 0;
  let index = 0;
  let star = -1;
  let starIndex = 0;
  while (index < name.length) {
    const wanted = segment[at];
    if (wanted === '*') {
      star = at;
      starIndex = index;
      at += 1;
    } else if (wanted !== undefined && (wanted === '?' || wanted === name[index])) {
      at += 1;
      index += 1;
    } else if (star >= 0) {
      starIndex += 1;
      index = starIndex;
      at = star + 1;
    } else return false;
  }
  while (segment[at] === '*') at += 1;
  return at === segment.length;
}
