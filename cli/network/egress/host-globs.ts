import { InterceptorError } from '../../../src/errors.ts';

const MAX_GLOB_LENGTH = 253;

/** Host names by globs: `*` stands for any characters, dots included; case and a last dot do not matter. */
export class HostGlobs {
  readonly globs: readonly string[];
  readonly #patterns: readonly (readonly string[])[];

  /** @throws InterceptorError USAGE_BAD_OPTION for an empty glob or one with characters no name has */
  constructor(globs: Iterable<string>) {
    this.globs = [...globs];
    this.#patterns = this.globs.map(toParts);
  }

  has(name: string): boolean {
    const plain = name.toLowerCase().replace(/\.$/, '');
    return this.#patterns.some((parts) => matches(plain, parts));
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
