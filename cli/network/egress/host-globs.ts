import { isUnder, withoutLastDot } from '../../../src/dns/names.ts';
import { InterceptorError } from '../../../src/errors.ts';

const MAX_GLOB_LENGTH = 253;

/**
 * Host names by globs: `*` stands for any characters, dots included; case and a last dot do not matter. A glob is meant as
 * names are typed: `api` is also what a search list makes of it.
 */
export class HostGlobs {
  readonly globs: readonly string[];
  readonly #patterns: readonly (readonly string[])[];
  readonly #search: readonly string[];

  /**
   * @param search the pod's search list
   * @throws InterceptorError USAGE_BAD_OPTION for an empty glob or one with characters no name has
   */
  constructor(globs: Iterable<string>, search: readonly string[] = []) {
    this.globs = [...globs];
    this.#search = search.map((domain) => withoutLastDot(domain).toLowerCase());
    this.#patterns = this.globs.map(toParts);
  }

  has(name: string): boolean {
    return this.#spellings(name).some((spelling) => this.#matches(spelling));
  }

  /**
   * What a name that is meant by a glob is called on the laptop: itself, and as it may have been typed before the search
   * list completed it.
   * @returns in lower case; none when no glob means the name
   */
  namesOf(name: string): readonly string[] {
    const [full = '', ...typed] = this.#spellings(name);
    const shortest = typed.filter((spelling) => this.#matches(spelling)).sort((a, b) => a.length - b.length);
    return [...(this.#matches(full) ? [full] : []), ...shortest.slice(0, 1)];
  }

  #matches(name: string): boolean {
    return this.#patterns.some((parts) => matches(name, parts));
  }

  #spellings(name: string): readonly string[] {
    const full = withoutLastDot(name).toLowerCase();
    const suffixes = this.#search.filter((domain) => full !== domain && isUnder(full, domain));
    return [full, ...suffixes.map((domain) => full.slice(0, -domain.length - 1))];
  }
}

/** The literal parts between the stars. */
function toParts(glob: string): string[] {
  if (!/^[\w.*:-]+$/.test(glob) || glob.length > MAX_GLOB_LENGTH) {
    throw new InterceptorError('USAGE_BAD_OPTION', `"${glob}" is no host name`, {
      hint: 'for example db.corp.example or "*.corp.example"',
    });
  }
  return glob.toLowerCase().replace(/\.$/, '').split('*');
}

/** Each part at its first place behind the one before; no pattern of many stars takes long, as a RegExp would. */
function matches(name: string, parts: readonly string[]): boolean {
  const [first = ''] = parts;
  const last = parts.at(-1) ?? '';
  if (parts.length === 1) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
