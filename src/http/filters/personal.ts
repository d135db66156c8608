import type { RequestHead } from '../routing.ts';
import { percentDecoded } from './texts.ts';

/** Fields that a key travels in, in the order in which they count, and what stands between their members. */
const CARRIERS = [
  ['baggage', ','],
  ['tracestate', ','],
  ['cookie', ';'],
] as const;

/**
 * The value of a personal key: of the first member of that name in the first field that has one. baggage (W3C Baggage §3.3.1):
 * what comes behind `;` in a member are properties of it and do not count.
 * @returns percent-decoded, without the quotes that a cookie may have
 */
export function personalValue(head: RequestHead, key: string): string | undefined {
  for (const [field, separator] of CARRIERS) {
    const line = head.header(field);
    // Most requests have none of them, or none with the key in it.
    if (line === undefined || !line.includes(key)) continue;
    const value = memberOf(line, separator, key);
    if (value !== undefined) return value;
  }
  return undefined;
}

function memberOf(line: string, separator: ',' | ';', key: string): string | undefined {
  for (const member of line.split(separator)) {
    const equals = member.indexOf('=');
    if (equals < 0 || member.slice(0, equals).trim() !== key) continue;
    const rest = member.slice(equals + 1);
    const properties = separator === ',' ? rest.indexOf(';') : -1;
    const value = (properties < 0 ? rest : rest.slice(0, properties)).trim();
    return percentDecoded(separator === ';' ? value.replace(/^"(.*)"$/, '$1') : value);
  }
  return undefined;
}
