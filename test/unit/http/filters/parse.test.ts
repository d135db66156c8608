import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { InterceptorError } from '../../../../src/errors.ts';
import { MAX_CONDITIONS, MAX_FILTER_BYTES, parseFilter } from '../../../../src/http/filters/parse.ts';
import { compileRegex, MAX_REGEX_LENGTH } from '../../../../src/http/filters/regex.ts';
import { anyFilter } from './requests.ts';

const header = (match: unknown, name: unknown = 'x-user'): unknown => ({ on: 'header', name, match });
const all = (...conditions: unknown[]): unknown => ({ match: 'all', conditions });
const exact = (value: string): unknown => ({ kind: 'exact', value });
const refusal = (make: () => unknown): InterceptorError => {
  try {
    make();
  } catch (error) {
    assert.ok(error instanceof InterceptorError && error.code === 'USAGE_BAD_OPTION', String(error));
    return error;
  }
  throw new Error('it was taken');
};

describe('reading a filter', () => {
  test('what is a filter comes back equal', () => {
    fc.assert(
      fc.property(anyFilter, (filter) => {
        const plain: unknown = JSON.parse(JSON.stringify(filter));
        assert.deepEqual(parseFilter(plain), plain);
      }),
    );
  });

  test('whatever else comes is refused by an error of ours', () => {
    const almost = fc.record(
      {
        match: fc.oneof(fc.constantFrom('all', 'any'), fc.jsonValue()),
        conditions: fc.array(
          fc.record(
            {
              on: fc.oneof(fc.constantFrom('header', 'path', 'query', 'personal', 'host'), fc.jsonValue()),
              name: fc.jsonValue(),
              key: fc.jsonValue(),
              value: fc.jsonValue(),
              match: fc.oneof(
                fc.record({
                  kind: fc.constantFrom('exact', 'regex', 'prefix', 'present'),
                  pattern: fc.string(),
                  value: fc.jsonValue(),
                }),
                fc.jsonValue(),
              ),
            },
            { requiredKeys: [] },
          ),
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(almost, fc.jsonValue()), (value) => {
        try {
          parseFilter(value);
        } catch (error) {
          assert.ok(error instanceof InterceptorError && error.code === 'USAGE_BAD_OPTION', String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('names of headers and hosts come back in lower case, and unknown fields are left behind', () => {
    const filter = parseFilter(
      all({ ...(header(exact('A'), 'X-User') as object), more: 1 }, { on: 'host', match: exact('API') }),
    );
    assert.deepEqual(filter.conditions, [
      { on: 'header', name: 'x-user', match: { kind: 'exact', value: 'A' } },
      { on: 'host', match: { kind: 'exact', value: 'api' } },
    ]);
  });

  test.each([
    ['no conditions', all(), /at least one/],
    [
      'too many',
      all(...Array.from({ length: MAX_CONDITIONS + 1 }, () => header(exact('a')))),
      /more than 16 conditions/,
    ],
    ['too long', all(header(exact('é'.repeat(MAX_FILTER_BYTES / 2)))), /longer than 4096 bytes/],
    ['a bad name', all(header(exact('a'), 'x user')), /"x user" is not a name/],
    ['a prefix of a header', all(header({ kind: 'prefix', value: 'a' })), /only paths have prefixes/],
    ['a path without a slash', all({ on: 'path', match: { kind: 'prefix', value: 'api' } }), /does not begin with \//],
    ['a method that is there', all({ on: 'method', match: { kind: 'present' } }), /every request has one/],
    ['a bad pattern', all(header({ kind: 'regex', pattern: '(' })), /regular expression "\("/],
  ])('%s is named', (_, value, message) => {
    assert.match(refusal(() => parseFilter(value)).message, message);
  });

  test.each([
    ['two methods', all({ on: 'method', match: exact('GET') }, { on: 'method', match: exact('PUT') })],
    ['a text and a pattern that does not take it', all(header(exact('b')), header({ kind: 'regex', pattern: '^a' }))],
    [
      'paths beside each other',
      all({ on: 'path', match: exact('/a') }, { on: 'path', match: { kind: 'prefix', value: '/b' } }),
    ],
  ])('what no request can match is refused with a hint: %s', (_, value) => {
    assert.match(refusal(() => parseFilter(value)).hint ?? '', /--any/);
    parseFilter({ ...(value as object), match: 'any' });
  });
});

describe('regular expressions', () => {
  test.each([
    ['(a', undefined],
    ['(?=a)', /no lookahead/],
    ['(?<!a)b', /no lookbehind/],
    ['(a)\\1', /no backreferences/],
    ['a'.repeat(MAX_REGEX_LENGTH + 1), /shorter/],
    ['((a|b){90}){2}', /repeat less/],
  ])('%s is refused', (pattern, hint) => {
    const error = refusal(() => compileRegex(pattern));
    if (hint !== undefined) assert.match(error.hint ?? '', hint);
  });

  test('a text that is made for a pattern costs as much more as it is longer', () => {
    // Backtracking would double with every character, and an automaton of 2^30 states would not end.
    const patterns = ['(a+)+b|c$', '(a|b)*a(a|b){30}c', '(.*){20}a.{20}c', '(a|a)*$'];
    for (const pattern of patterns) {
      const regex = compileRegex(pattern);
      const text = (length: number): string =>
        Array.from({ length }, (_, at) => 'ab'[(at * at * 7 + (at >> 3)) & 1]).join('');
      const [short, long] = [text(32 * 1024), text(64 * 1024)];
      const cost = (of: string): number => Math.min(...[1, 2, 3, 4].map(() => elapsedMs(() => regex.test(of))));
      regex.test(short);
      assert.ok(cost(long) < 5 * cost(short) + 5, pattern);
    }
  });
});

function elapsedMs(run: () => unknown): number {
  const from = performance.now();
  run();
  return performance.now() - from;
}
