// Requests and filters over a small alphabet, so that they meet often.
import fc from 'fast-check';
import type { Condition, Filter, TextMatch } from '../../../../src/http/filter.ts';
import { checkFilter } from '../../../../src/http/filters/parse.ts';
import type { RequestHead } from '../../../../src/http/routing.ts';

export interface HeadParts {
  readonly method?: string;
  readonly path?: string;
  readonly query?: string;
  readonly authority?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export function headOf({
  method = 'GET',
  path = '/',
  query = '',
  authority = 'api',
  headers = {},
}: HeadParts): RequestHead {
  const fields = new Map(Object.entries(headers));
  return {
    method,
    path,
    query,
    authority,
    header: (name) => fields.get(name),
    count: (name) => (fields.has(name) ? 1 : 0),
  };
}

const word = fc.constantFrom('', 'a', 'b', 'ab', 'abc', 'a.c');
const path = fc
  .array(fc.constantFrom('a', 'b', 'ab', 'api', ''), { maxLength: 3 })
  .map((segments) => `/${segments.join('/')}`);

export const anyHead: fc.Arbitrary<RequestHead> = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'PUT'),
    path: fc.oneof(path, fc.constantFrom('', '*')),
    query: fc
      .array(fc.tuple(fc.constantFrom('q', 'r', 'q%20'), word), { maxLength: 2 })
      .map((pairs) => pairs.map(([name, value]) => `${name}=${value}`).join('&')),
    authority: fc.constantFrom('a', 'A:80', 'b', 'ab:8080', ''),
    headers: fc.dictionary(fc.constantFrom('x-a', 'x-b'), word, { maxKeys: 2 }),
    personal: fc.option(fc.tuple(fc.constantFrom('baggage', 'cookie', 'tracestate'), word), { nil: undefined }),
  })
  .map(({ personal, headers, ...rest }) =>
    headOf({ ...rest, headers: personal === undefined ? headers : { ...headers, [personal[0]]: `k=${personal[1]}` } }),
  );

const pattern = fc.constantFrom(
  '^a$',
  '^a',
  'b$',
  '^a|b',
  '^/a',
  '^/a/?$',
  '^a\\.c$',
  '.',
  '',
  '^',
  '^$',
  '^(GET|PUT)$',
);
const regex: fc.Arbitrary<TextMatch> = pattern
  .filter((text) => text !== '')
  .map((text) => ({ kind: 'regex', pattern: text }));
const exact: fc.Arbitrary<TextMatch> = word.map((value) => ({ kind: 'exact', value }));
const onText = fc.oneof(exact, regex, fc.constant<TextMatch>({ kind: 'present' }));
const onPath = fc.oneof(
  path.map((value): TextMatch => ({ kind: 'exact', value })),
  path.map((value): TextMatch => ({ kind: 'prefix', value })),
  regex,
);

export const anyCondition: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({ on: fc.constant('header' as const), name: fc.constantFrom('x-a', 'x-b'), match: onText }),
  fc.record({ on: fc.constant('query' as const), name: fc.constantFrom('q', 'r'), match: onText }),
  fc.record({ on: fc.constant('path' as const), match: onPath }),
  fc.record({
    on: fc.constant('method' as const),
    match: fc.oneof(
      fc.constantFrom('GET', 'POST').map((value): TextMatch => ({ kind: 'exact', value })),
      regex,
    ),
  }),
  fc.record({ on: fc.constant('host' as const), match: fc.oneof(exact, regex) }),
  fc.record({ on: fc.constant('personal' as const), key: fc.constant('k'), value: word.filter((text) => text !== '') }),
);

export const anyFilter: fc.Arbitrary<Filter> = fc
  .record({
    match: fc.constantFrom('all' as const, 'any' as const),
    conditions: fc.array(anyCondition, { minLength: 1, maxLength: 3 }),
  })
  .filter((filter) => {
    try {
      checkFilter(filter);
      return true;
    } catch {
      return false; // no request can match
    }
  });
