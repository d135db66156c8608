import { InterceptorError } from '../../../src/errors.ts';

const MAX_GLOB_LENGTH = 253;

/** Host names by globs: `*` stands for any characters, dots included; case and a last dot do not matter. */
export class HostGlobs {
  readonly globs: readonly string[];
  readonly #patterns: readonly RegExp[];

  /** @throws InterceptorError USAGE_BAD_OPTION for an empty glob or one with characters no name has */
  constructor(globs: Iterable<string>) {
    this.globs = [...globs];
    this.#patterns = this.globs.map(toPattern);
  }

  has(name: string): boolean {
    const plain = name.toLowerCase().replace(/\.$/, '');
    return this.#patterns.some((pattern) => pattern.test(plain));
  }
}

function toPattern(glob: string): RegExp {
  if (!/^[\w.*:-]+$/.test(glob) || glob.length > MAX_GLOB_LENGTH) {
    throw new InterceptorError('USAGE_BAD_OPTION', `"${glob}" is no host name`, {
      hint: 'for example db.corp.example or "*.corp.example"',
    });
  }
  // Several stars in a row are one: a pattern of many would take for ever on a name that does not match.
  const source = glob.toLowerCase().replace(/\.$/, '').replace(/\*+/g, '*').replace(/[.]/g, '\\.').replace(/\*/g, '.*');
  return new RegExp(`^${source}$`);
}
