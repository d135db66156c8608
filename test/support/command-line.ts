// How the programs of the tests read their command lines: --help on stdout, mistakes as one line on stderr.
const USAGE_EXIT_CODE = 2;

/** Something in the command line that cannot be read. */
export class UsageError extends Error {}

/**
 * Reads a command line; `--help` and mistakes (UsageError, and what parseArgs() throws) end the program.
 * @param usage what --help prints
 */
export function readCommandLine<T>(usage: string, parse: (args: string[]) => T): T {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${usage.trimEnd()}\n`);
    process.exit(0);
  }
  try {
    return parse(args);
  } catch (error) {
    if (!isMistake(error)) throw error;
    const [what = ''] = error.message.split('. To specify a positional argument'); // parseArgs's advice is not ours
    process.stderr.write(`error: ${what.replaceAll('\n', ' ')}; --help shows what there is\n`);
    process.exit(USAGE_EXIT_CODE);
  }
}

function isMistake(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS');
}

/** @throws UsageError */
export function readNumber(option: string, text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!Number.isFinite(value) || value < 0) throw new UsageError(`--${option}: "${text}" is not a number`);
  return value;
}

/** The one of that name. @throws UsageError naming all of them */
export function readName<T>(what: string, name: string, all: readonly T[], nameOf: (value: T) => string): T {
  const found = all.find((value) => nameOf(value) === name);
  if (found === undefined) throw new UsageError(`no ${what} "${name}", there are ${all.map(nameOf).join(', ')}`);
  return found;
}
