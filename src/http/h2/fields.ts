import { type IncomingHttpHeaders, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2';
import type { RequestHead } from '../routing.ts';

type Fields = readonly (readonly [name: string, value: string])[];

/** Node's flat list of names and values, in pairs: with all duplicates, in the order they came. */
export function pairsOf(raw: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([raw[at] ?? '', raw[at + 1] ?? '']);
  return pairs;
}

/** One request's head as filters see it; names of HTTP/2 are in lower case already (RFC 9113 §8.2). */
export function requestHead(fields: Fields): RequestHead {
  const valuesOf = (name: string): string[] => fields.flatMap(([key, value]) => (key === name ? [value] : []));
  const first = (name: string): string | undefined => fields.find(([key]) => key === name)?.[1];
  const [target = ''] = (first(':path') ?? '').split('#', 1); // as HTTP/1.1's is read
  const mark = target.indexOf('?');
  return {
    method: first(':method') ?? '',
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
    authority: first(':authority') ?? first('host') ?? '',
    header: (name) => {
      const values = valuesOf(name);
      return values.length === 0 ? undefined : values.join(name === 'cookie' ? '; ' : ', ');
    },
    count: (name) => valuesOf(name).length,
  };
}

/** What one reader may take differently from another; undefined: nothing. All else that is malformed nghttp2 refuses itself. */
export function whyAmbiguous(fields: Fields): string | undefined {
  const hosts = fields.flatMap(([name, value]) =>
    name === 'host' || name === ':authority' ? [value.toLowerCase()] : [],
  );
  // RFC 9113 §8.3.1: a server should refuse it.
  return hosts.some((host) => host !== hosts[0]) ? 'Host and :authority differ' : undefined;
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
