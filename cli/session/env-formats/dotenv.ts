import { isShellName, type Variables } from './formatted.ts';

/**
 * A dotenv file for shells (`set -a; . file`), Node's `--env-file` and util.parseEnv, and npm's dotenv. Line breaks are
 * real ones. A shell reads every value right; the others all but those of misreadAsDotenv(). Names that no shell takes are
 * left out. Docker's --env-file knows neither quotes nor line breaks. Pure.
 */
export function formatDotenv(variables: Variables): string {
  return Object.entries(variables)
    .filter(([name]) => isShellName(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${quoteDotenv(value)}\n`)
    .join('');
}

/** The names in formatDotenv() whose values no form tells to a shell and to all others alike, in order. Pure. */
export function misreadAsDotenv(variables: Variables): string[] {
  return Object.keys(variables)
    .filter((name) => isShellName(name) && !isCommon(variables[name] ?? ''))
    .sort();
}

/** A warning for people that names them, never their values. @returns undefined where there are none */
export function dotenvWarning(variables: Variables): string | undefined {
  const names = misreadAsDotenv(variables);
  if (names.length === 0) return undefined;
  return `right for shells, but not for node --env-file or npm's dotenv, which know no way to write their quotes, carriage returns or last backslash: ${names.join(', ')}`;
}

const BARE = /^[A-Za-z0-9_./:@%+,-]*$/;
/**
 * Between double quotes, what is itself for all readers: a dollar sign that begins nothing for a shell, and a backslash that
 * escapes nothing for a shell, for Node (`\n`) or for npm's dotenv (`\n`, `\r`).
 */
const PLAIN_IN_DOUBLE_QUOTES = /^(?:[^"`$\\]|\$(?=[\s.,/:;%=+~^)\]}|&<>]|$)|\\(?![\\$`"\nnr]|$))*$/;

/** Node drops carriage returns, npm's dotenv makes line breaks of them, and takes `\'` for no end. */
function isCommon(value: string): boolean {
  if (value.includes('\r')) return false;
  return value.includes("'") ? PLAIN_IN_DOUBLE_QUOTES.test(value) : !value.endsWith('\\');
}

function quoteDotenv(value: string): string {
  if (BARE.test(value)) return value;
  if (!value.includes("'")) return `'${value}'`;
  if (PLAIN_IN_DOUBLE_QUOTES.test(value)) return `"${value}"`;
  return `"${value.replace(/[\\"$`]/g, '\\$&')}"`;
}
