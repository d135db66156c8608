import { InterceptorError } from '../../src/errors.ts';
import type { Condition, Filter, TextMatch } from '../../src/http/filter.ts';
import { parseFilter } from '../../src/http/filters/parse.ts';
import { compileRegex } from '../../src/http/filters/regex.ts';

/** Options that say which requests are taken, as commander gives them. */
export interface FilterOptions {
  readonly header?: readonly string[];
  readonly path?: readonly string[];
  readonly method?: readonly string[];
  readonly query?: readonly string[];
  readonly host?: readonly string[];
  /** `true`: without a value. */
  readonly personal?: string | true;
  readonly any?: boolean;
}

const PERSONAL_KEY = 'intercept';

/**
 * Reads the options of a filter.
 * @param user who `--personal` without a value is for
 * @returns undefined: none of them was given
 * @throws InterceptorError USAGE_BAD_OPTION
 */
export function parseFilterOptions(options: FilterOptions, user: string): Filter | undefined {
  const conditions: Condition[] = [
    ...(options.header ?? []).map(parseHeader),
    ...(options.path ?? []).map(parsePath),
    ...(options.method ?? []).map(parseMethod),
    ...(options.query ?? []).map(parseQuery),
    ...(options.host ?? []).map(parseHost),
    ...(options.personal === undefined ? [] : [parsePersonal(options.personal, user)]),
  ];
  if (conditions.length > 0) return parseFilter({ match: options.any === true ? 'any' : 'all', conditions });
  if (options.any === true)
    throw bad('--any says how conditions are joined, and there is none', "add --header 'x-user: dev-1'");
  return undefined;
}

/** `x-user: dev-1`, `x-user: ~^dev-`, `x-user`. */
function parseHeader(text: string): Condition {
  const hint = "for example --header 'x-user: dev-1', --header 'x-user: ~^dev-', or --header x-user for any value";
  const colon = text.indexOf(':', text.startsWith(':') ? 1 : 0);
  const name = (colon < 0 ? text : text.slice(0, colon)).trim();
  if (name.startsWith('~'))
    throw bad(
      `--header "${text}" has no name: ~ begins a pattern for a value`,
      "for example --header 'x-user: ~^dev-'",
    );
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) throw bad(`--header "${text}" is not "name: value"`, hint);
  if (colon < 0) return { on: 'header', name, match: { kind: 'present' } };
  const value = text.slice(colon + 1).trim();
  if (value === '') throw bad(`--header "${text}" has no value`, hint);
  return { on: 'header', name, match: exactOrRegex('--header', value, `${name}: `) };
}

/** `/api`, `=/api`, `~^/v[12]/`. */
function parsePath(text: string): Condition {
  if (text.startsWith('~')) return { on: 'path', match: exactOrRegex('--path', text) };
  const isExact = text.startsWith('=');
  const path = isExact ? text.slice(1) : text;
  if (!path.startsWith('/'))
    throw bad(
      `--path "${text}" does not begin with /`,
      "for example --path /api, --path =/api/users, or --path '~^/v[12]/'",
    );
  if (path.includes('?'))
    throw bad(`--path "${text}" has a query`, '--query name=value is for what comes behind the ?');
  // Paths are compared as they are sent.
  const sent = path.replace(/[^!-~]+/gu, percentEncoded);
  return { on: 'path', match: { kind: isExact ? 'exact' : 'prefix', value: sent } };
}

function parseMethod(text: string): Condition {
  if (!text.startsWith('~') && !/^[A-Za-z][A-Za-z-]*$/.test(text))
    throw bad(`--method "${text}" is not a method`, 'for example --method POST');
  return {
    on: 'method',
    match: text.startsWith('~') ? exactOrRegex('--method', text) : { kind: 'exact', value: text.toUpperCase() },
  };
}

/** `user=dev-1`, `user=~^dev-`, `user`. */
function parseQuery(text: string): Condition {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === '')
    throw bad(
      `--query "${text}" has no name`,
      "for example --query user=dev-1, --query 'user=~^dev-', or --query user",
    );
  if (equals < 0) return { on: 'query', name, match: { kind: 'present' } };
  return { on: 'query', name, match: exactOrRegex('--query', text.slice(equals + 1), `${name}=`) };
}

function parseHost(text: string): Condition {
  if (text.startsWith('~')) return { on: 'host', match: exactOrRegex('--host', text) };
  if (/^[^[]*:\d*$/.test(text) || text.endsWith(']:'))
    throw bad(`--host "${text}": hosts are compared without their port`, `--host ${text.replace(/:\d*$/, '')}`);
  if (!/^(?:[\w.-]+|\[[\da-fA-F:.]+\])$/.test(text))
    throw bad(`--host "${text}" is not a name`, "for example --host api.example, or --host '~\\.example$'");
  return { on: 'host', match: { kind: 'exact', value: text } };
}

/** `dev-1`, or `key=dev-1`. */
function parsePersonal(text: string | true, user: string): Condition {
  if (text === true) return { on: 'personal', key: PERSONAL_KEY, value: user };
  const equals = text.indexOf('=');
  const key = equals < 0 ? PERSONAL_KEY : text.slice(0, equals);
  const value = text.slice(equals + 1);
  if (value === '' || !/^[\w!#$%&'*+.^`|~-]+$/.test(key))
    throw bad(`--personal "${text}" is not a name`, 'for example --personal dev-1, or --personal key=dev-1');
  return { on: 'personal', key, value };
}

const PATTERN_EXAMPLES: Readonly<Record<string, string>> = { '--path': '~^/v[12]/', '--method': '~^P' };

/** @param before what stands before the value: `x-user: ` */
function exactOrRegex(option: string, text: string, before = ''): TextMatch {
  if (!text.startsWith('~')) return { kind: 'exact', value: text };
  if (text === '~') {
    const example = shellWord(`${before}${PATTERN_EXAMPLES[option] ?? '~^dev-'}`);
    throw bad(`${option}: behind ~ is no regular expression`, `for example ${option} ${example}`);
  }
  const pattern = text.slice(1);
  try {
    compileRegex(pattern);
  } catch (cause) {
    if (!(cause instanceof InterceptorError)) throw cause;
    const hint = cause.hint === undefined ? {} : { hint: cause.hint };
    throw new InterceptorError(cause.code, `${option} ${shellWord(`${before}${text}`)}: ${cause.message}`, {
      ...hint,
      cause,
    });
  }
  return { kind: 'regex', pattern };
}

function bad(text: string, hint: string): InterceptorError {
  return new InterceptorError('USAGE_BAD_OPTION', text, { hint });
}

/** The arguments that make the filter: `--header`, `x-user: dev-1`. What cannot be typed comes as a pattern for it. */
export function filterArguments({ match, conditions }: Filter): string[] {
  const words = conditions.flatMap((condition): [string, string] => {
    switch (condition.on) {
      case 'header':
        return ['--header', named(condition.name, ': ', condition.match)];
      case 'query':
        return ['--query', named(condition.name, '=', condition.match)];
      case 'personal':
        return ['--personal', condition.key === PERSONAL_KEY ? condition.value : `${condition.key}=${condition.value}`];
      case 'path':
      case 'method':
      case 'host': {
        const isPath = condition.on === 'path' && condition.match.kind === 'exact';
        return [`--${condition.on}`, `${isPath ? '=' : ''}${typed(condition.match)}`];
      }
      default:
        return condition satisfies never;
    }
  });
  return match === 'any' ? [...words, '--any'] : words;
}

/** The same for a shell and for people: `--header 'x-user: dev-1' --path /api`. */
export function filterText(filter: Filter): string {
  return filterArguments(filter).map(shellWord).join(' ');
}

function named(name: string, separator: string, match: TextMatch): string {
  return match.kind === 'present' ? name : `${name}${separator}${typed(match)}`;
}

function typed(match: TextMatch): string {
  switch (match.kind) {
    case 'exact':
      return match.value.startsWith('~') ? `~^${match.value.replace(/[^\w\s]/g, '\\$&')}$` : match.value;
    case 'prefix':
      return match.value;
    case 'regex':
      return `~${match.pattern}`;
    case 'present':
      return '';
    default:
      return match satisfies never;
  }
}

/** A word that a POSIX shell takes as it is. */
function shellWord(word: string): string {
  // ~ at the beginning would be a home folder, = of zsh a command.
  return /^[\w/.:@%+,-][\w/.:@%+,=-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export interface PersonalHints {
  /** A command that the filter takes. */
  readonly curl: string;
  /** For a browser's console: from then on the browser's requests to that site carry the key. */
  readonly cookie: string;
  /** For an extension that adds fields to requests: `baggage: intercept=dev-1`. */
  readonly field: string;
}

/**
 * How to send requests that a personal key takes.
 * @returns undefined: the filter has none
 */
export function personalHints({ match, conditions }: Filter, url: string): PersonalHints | undefined {
  const personal = conditions.find((condition) => condition.on === 'personal');
  if (personal === undefined) return undefined;
  const member = `${personal.key}=${percentEncoded(personal.value)}`;
  const field = `baggage: ${member}`;
  const others = match === 'all' ? conditions.flatMap(curlArguments) : [];
  return {
    curl: ['curl', '-H', field, ...others, url].map(shellWord).join(' '),
    cookie: `document.cookie = ${JSON.stringify(`${member}; path=/`)}`,
    field,
  };
}

/** Half a surrogate pair, which has no UTF-8, becomes U+FFFD. */
function percentEncoded(text: string): string {
  return encodeURIComponent(Buffer.from(text).toString());
}

function curlArguments(condition: Condition): string[] {
  if (condition.on === 'personal' || condition.match.kind !== 'exact') return [];
  if (condition.on === 'method') return ['-X', condition.match.value];
  return condition.on === 'header' ? ['-H', `${condition.name}: ${condition.match.value}`] : [];
}
