import { InterceptorError } from '../../errors.ts';
import type { Condition, Filter, TextMatch } from '../filter.ts';
import { compileFilter } from './match.ts';
import { isNever } from './order.ts';

/** Conditions of one filter. */
export const MAX_CONDITIONS = 16;
/** All texts of one filter together. */
export const MAX_FILTER_BYTES = 4096;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/; // RFC 9110 §5.6.2

/**
 * Reads a filter that came as JSON. Names of headers and hosts come back in lower case.
 * @throws InterceptorError USAGE_BAD_OPTION naming what is wrong: its shape, its size, a bad regular expression, or that no
 * request can match it
 */
export function parseFilter(value: unknown): Filter {
  if (!isObject(value)) throw bad('a filter is an object');
  const { match, conditions } = value;
  if (match !== 'all' && match !== 'any') throw bad('a filter’s "match" is "all" or "any"');
  if (!Array.isArray(conditions) || conditions.length === 0) throw bad('a filter has at least one condition');
  if (conditions.length > MAX_CONDITIONS) throw bad(`a filter has more than ${MAX_CONDITIONS} conditions`);
  return checkFilter({ match, conditions: conditions.map(parseCondition) });
}

/**
 * What the shape alone does not tell.
 * @throws InterceptorError USAGE_BAD_OPTION as parseFilter()
 */
export function checkFilter(filter: Filter): Filter {
  if (filter.conditions.length > MAX_CONDITIONS) throw bad(`a filter has more than ${MAX_CONDITIONS} conditions`);
  const bytes = filter.conditions.reduce((sum, condition) => sum + bytesOf(condition), 0);
  if (bytes > MAX_FILTER_BYTES) throw bad(`the texts of a filter are longer than ${MAX_FILTER_BYTES} bytes`);
  if (isNever(compileFilter(filter)))
    throw bad('no request can match: conditions of the filter exclude each other', 'if one of them is enough: --any');
  return filter;
}

function parseCondition(value: unknown): Condition {
  if (!isObject(value)) throw bad('a condition is an object');
  const { on } = value;
  switch (on) {
    case 'header':
      return { on, name: token(value.name, 'header').toLowerCase(), match: parseMatch(value.match, on) };
    case 'query':
      return { on, name: text(value.name, 'the name of a query parameter'), match: parseMatch(value.match, on) };
    case 'path':
    case 'method':
      return { on, match: parseMatch(value.match, on) };
    case 'host': {
      const match = parseMatch(value.match, on);
      return { on, match: match.kind === 'exact' ? { ...match, value: match.value.toLowerCase() } : match };
    }
    case 'personal':
      return { on, key: token(value.key, 'personal key'), value: text(value.value, 'the value of a personal key') };
    default:
      throw bad('a condition is on a header, query, path, method, host or personal key');
  }
}

function parseMatch(value: unknown, on: string): TextMatch {
  if (!isObject(value)) throw bad(`${on}: what to compare with is missing`);
  const { kind } = value;
  switch (kind) {
    case 'exact':
      return { kind, value: string(value.value, `${on}: a value`) };
    case 'prefix': {
      // Segments are of paths; for the rest `^text` says it.
      if (on !== 'path') throw bad(`${on}: only paths have prefixes`, 'use a regular expression: ~^text');
      const prefix = text(value.value, 'a path');
      if (!prefix.startsWith('/')) throw bad(`path: "${prefix}" does not begin with /`);
      return { kind, value: prefix };
    }
    case 'regex':
      return { kind, pattern: text(value.pattern, `${on}: a regular expression`) };
    case 'present':
      if (on !== 'header' && on !== 'query') throw bad(`${on}: every request has one`);
      return { kind };
    default:
      throw bad(`${on}: it is compared by exact, prefix, regex or present`);
  }
}

function bytesOf(condition: Condition): number {
  const texts = Object.values(condition.on === 'personal' ? condition : { ...condition, ...condition.match });
  return texts.reduce((sum, part) => (typeof part === 'string' ? sum + Buffer.byteLength(part) : sum), 0);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function string(value: unknown, what: string): string {
  if (typeof value !== 'string') throw bad(`${what} is not a text`);
  return value;
}

function text(value: unknown, what: string): string {
  const checked = string(value, what);
  if (checked === '') throw bad(`${what} is empty`);
  return checked;
}

function token(value: unknown, what: string): string {
  const checked = string(value, `a ${what}`);
  if (!TOKEN.test(checked)) throw bad(`"${checked.slice(0, 80)}" is not a name of a ${what}`);
  return checked;
}

function bad(message: string, hint?: string): InterceptorError {
  return new InterceptorError('USAGE_BAD_OPTION', message, hint === undefined ? {} : { hint });
}
