import { type IncomingHttpHeaders, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2';
import type { RequestHead } from '../routing.ts';

type Fields = readonly (readonly [name: string, value: string])[];

/**
 * One request's head as filters see it; names of HTTP/2 are in lower case already (RFC 9113 §8.2).
 * @param raw Node's flat list of names and values: with all duplicates, in the order they came
 */
export function requestHead(raw: readonly string[]): RequestHead {
  const [target = ''] = (firstOf(raw, ':path') ?? '').split('#', 1); // as HTTP/1.1's is read
  const mark = target.indexOf('?');
  return {
    method: firstOf(raw, ':method') ?? '',
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
    authority: firstOf(raw, ':authority') ?? firstOf(raw, 'host') ?? '',
    header: (name) => joined(raw, name),
    count: (name) => {
      let count = 0;
      for (let at = 0; at < raw.length; at += 2) if (raw[at] === name) count += 1;
      return count;
    },
  };
}

function firstOf(raw: readonly string[], name: string): string | undefined {
  for (let at = 0; at < raw.length; at += 2) if (raw[at] === name) return raw[at + 1];
  return undefined;
}

function joined(raw: readonly string[], name: string): string | undefined {
  const between = name === 'cookie' ? '; ' : ', ';
  let text: string | undefined;
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at] === name) text = text === undefined ? (raw[at + 1] ?? '') : text + between + raw[at + 1];
  }
  return text;
}

/** What one reader may take differently from another; undefined: nothing. All else that is malformed nghttp2 refuses itself. */
export function whyAmbiguous(raw: readonly string[]): string | undefined {
  let authority: string | undefined;
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at] !== ':authority' && raw[at] !== 'host') continue;
    const value = raw[at + 1]?.toLowerCase() ?? '';
    // RFC 9113 §8.3.1: a server should refuse it.
    if (authority !== undefined && authority !== value) return 'Host and :authority differ';
    authority = value;
  }
  return undefined;
}

/**
 * The fields for Node to send: in the order of each name's first line, `added` behind them. Node has no ordered list to send
 * before version 24, so lines of one name come together; cookie crumbs stay apart, what was never to be indexed stays so.
 * @param from the parsed head that `raw` belongs to, for its never-indexed names
 */
export function headersToSend(raw: readonly string[], from: IncomingHttpHeaders, added: Fields): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = Object.create(null);
  const put = (name: string, value: string): void => {
    const have = headers[name];
    if (have === undefined) headers[name] = value;
    else if (Array.isArray(have)) have.push(value);
    else headers[name] = [String(have), value];
  };
  for (let at = 0; at + 1 < raw.length; at += 2) put(raw[at] ?? '', raw[at + 1] ?? '');
  for (const [name, value] of added) put(name.toLowerCase(), value);
  const sensitive = sensitiveNames(from);
  if (sensitive !== undefined) Object.assign(headers, { [sensitiveHeaders]: sensitive });
  return headers;
}

/** nghttp2 marks authorization and short cookies itself when it reads them; both are to be sent never-indexed again. */
function sensitiveNames(from: IncomingHttpHeaders): string[] | undefined {
  const names: unknown = Reflect.get(from, sensitiveHeaders);
  return Array.isArray(names) && names.length > 0 ? [...new Set<string>(names)] : undefined;
}

/** Joins what Node sends once only (`age`, `etag`, …) but a peer sent twice; a list is what RFC 9110 §5.3 lets it become. */
export function withoutDuplicates(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  for (const [name, value] of Object.entries(headers)) {
    if (Array.isArray(value) && name !== 'set-cookie') headers[name] = value.join(', ');
  }
  return headers;
}
