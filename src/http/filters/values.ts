import type { TextMatch } from '../filter.ts';
import { compileRegex, type Regex } from './regex.ts';

/**
 * The values that a condition takes, as sets that can be compared:
 * `starts` with these characters; `under` this path (no slash at its end): itself and what is below it.
 */
export type Values =
  | { readonly kind: 'exact'; readonly value: string }
  | { readonly kind: 'starts'; readonly value: string }
  | { readonly kind: 'under'; readonly path: string }
  | { readonly kind: 'regex'; readonly regex: Regex }
  | { readonly kind: 'any' };

/** @throws InterceptorError USAGE_BAD_OPTION: a bad regular expression */
export function valuesOf(match: TextMatch): Values {
  switch (match.kind) {
    case 'exact':
      return { kind: 'exact', value: match.value };
    case 'prefix':
      return { kind: 'under', path: match.value.replace(/\/+$/, '') };
    case 'present':
      return { kind: 'any' };
    case 'regex': {
      const regex = compileRegex(match.pattern); // also where it is simpler than it looks: what is refused must not depend on it
      return literalOf(match.pattern) ?? { kind: 'regex', regex };
    }
    default:
      return match satisfies never;
  }
}

export function hasValue(values: Values, value: string): boolean {
  switch (values.kind) {
    case 'exact':
      return value === values.value;
    case 'starts':
      return value.startsWith(values.value);
    case 'under':
      return isUnderPath(value, values.path);
    case 'regex':
      return values.regex.test(value);
    case 'any':
      return true;
    default:
      return values satisfies never;
  }
}

/** Whether it is certain that no value is in both. */
export function disjointValues(a: Values, b: Values): boolean {
  if (a.kind === 'exact') return !hasValue(b, a.value);
  if (b.kind === 'exact') return !hasValue(a, b.value);
  if (a.kind === 'starts' && b.kind === 'starts') return !a.value.startsWith(b.value) && !b.value.startsWith(a.value);
  if (a.kind === 'under' && b.kind === 'under')
    return a.path !== b.path && !isUnderPath(a.path, b.path) && !isUnderPath(b.path, a.path);
  if (a.kind === 'under' && b.kind === 'starts') return !startsUnder(b.value, a.path);
  if (a.kind === 'starts' && b.kind === 'under') return !startsUnder(a.value, b.path);
  return false; // of regular expressions we know nothing
}

/** Whether it is certain that every value of a is one of b. */
export function impliesValues(a: Values, b: Values): boolean {
  if (b.kind === 'any') return true;
  switch (a.kind) {
    case 'exact':
      return hasValue(b, a.value);
    case 'starts':
      if (b.kind === 'starts') return a.value.startsWith(b.value);
      return b.kind === 'under' && a.value.startsWith(`${b.path}/`);
    case 'under':
      if (b.kind === 'under') return a.path === b.path || isUnderPath(a.path, b.path);
      return b.kind === 'starts' && (a.path === '' ? '/' : a.path).startsWith(b.value);
    case 'regex':
      return b.kind === 'regex' && a.regex.pattern === b.regex.pattern;
    case 'any':
      return false;
    default:
      return a satisfies never;
  }
}

/** `path` '' is the root: all that begins with a slash. */
function isUnderPath(value: string, path: string): boolean {
  if (!value.startsWith(path)) return false;
  return value.length === path.length ? path !== '' : value[path.length] === '/';
}

/** Whether something that begins with `start` is under the path. */
function startsUnder(start: string, path: string): boolean {
  return `${path}/`.startsWith(start) || start.startsWith(`${path}/`);
}

/** What `^text$` and `^text` mean, where the text has no operators but escaped ones. */
function literalOf(pattern: string): Values | undefined {
  const match = /^\^((?:[^\\.+*?()|[\]{}^$]|\\[^\p{L}\p{N}\s_])*)(\$?)$/u.exec(pattern);
  if (match === null) return undefined;
  const value = (match[1] ?? '').replace(/\\(.)/gu, '$1');
  return match[2] === '$' ? { kind: 'exact', value } : { kind: 'starts', value };
}
