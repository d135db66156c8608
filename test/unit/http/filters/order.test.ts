import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import type { Condition, TextMatch } from '../../../../src/http/filter.ts';
import { type CompiledFilter, compileFilter } from '../../../../src/http/filters/match.ts';
import { compareSpecificity, conflict, disjoint, implies } from '../../../../src/http/filters/order.ts';
import { anyFilter, anyHead } from './requests.ts';

const RUNS = { numRuns: 2000 };
const header = (value: string, name = 'x-user'): Condition => ({ on: 'header', name, match: { kind: 'exact', value } });
const path = (kind: 'exact' | 'prefix' | 'regex', text: string): Condition => {
  const match: TextMatch = kind === 'regex' ? { kind, pattern: text } : { kind, value: text };
  return { on: 'path', match };
};
const all = (...conditions: Condition[]): CompiledFilter => compileFilter({ match: 'all', conditions });
const any = (...conditions: Condition[]): CompiledFilter => compileFilter({ match: 'any', conditions });

describe('what is proved of two filters holds for every request', () => {
  test('no request matches two that are disjoint', () => {
    let proved = 0;
    fc.assert(
      fc.property(anyFilter, anyFilter, fc.array(anyHead, { minLength: 8, maxLength: 8 }), (a, b, heads) => {
        const [one, other] = [compileFilter(a), compileFilter(b)];
        if (!disjoint(one, other)) return;
        proved += 1;
        for (const head of heads) assert.ok(!(one.matches(head) && other.matches(head)));
      }),
      RUNS,
    );
    assert.ok(proved > 100, `${proved}`);
  });

  test('every request that matches a filter matches what it implies', () => {
    let proved = 0;
    fc.assert(
      fc.property(anyFilter, anyFilter, fc.array(anyHead, { minLength: 8, maxLength: 8 }), (a, b, heads) => {
        const [one, other] = [compileFilter(a), compileFilter(b)];
        if (!implies(one, other)) return;
        proved += 1;
        for (const head of heads) if (one.matches(head)) assert.ok(other.matches(head));
      }),
      RUNS,
    );
    assert.ok(proved > 50, `${proved}`);
  });

  test('of three that contain one another in a row the first is in the last', () => {
    fc.assert(
      fc.property(anyFilter, anyFilter, anyFilter, (a, b, c) => {
        const [one, two, three] = [compileFilter(a), compileFilter(b), compileFilter(c)];
        if (implies(one, two) && implies(two, three)) assert.ok(implies(one, three));
      }),
      RUNS,
    );
  });
});

describe('what may be on one port together', () => {
  const cases: [string, CompiledFilter, CompiledFilter, 'together' | 'conflict'][] = [
    ['two users', all(header('dev-1')), all(header('dev-2')), 'together'],
    ['the same twice', all(header('dev-1')), all(header('dev-1')), 'conflict'],
    [
      'the same in another order',
      all(header('a'), path('exact', '/x')),
      all(path('exact', '/x'), header('a')),
      'conflict',
    ],
    ['a user, and a path of the same user', all(header('a')), all(header('a'), path('prefix', '/api')), 'together'],
    ['a user and a path', all(header('a')), all(path('prefix', '/api')), 'conflict'],
    ['a path in a path', all(path('prefix', '/api')), all(path('prefix', '/api/x/')), 'together'],
    [
      'paths of which one only begins like the other',
      all(path('prefix', '/api')),
      all(path('prefix', '/apis')),
      'together',
    ],
    ['one path in a prefix', all(path('exact', '/api/x')), all(path('prefix', '/api')), 'together'],
    ['one path that a pattern takes', all(path('exact', '/a1')), all(path('regex', '^/a\\d$')), 'together'],
    ['one path that a pattern does not take', all(path('exact', '/b1')), all(path('regex', '^/a\\d$')), 'together'],
    ['two patterns', all(path('regex', '^/a.$')), all(path('regex', '^/b.$')), 'conflict'],
    ['two patterns that are no more than prefixes', all(path('regex', '^/a')), all(path('regex', '^/b')), 'together'],
    [
      'a pattern that is a text, and the text',
      all(path('regex', '^/a\\.js$')),
      all(path('exact', '/a.js')),
      'conflict',
    ],
    ['either of two users, and one of them', any(header('a'), header('b')), all(header('b')), 'together'],
    ['either of two users, and a third', any(header('a'), header('b')), all(header('c')), 'together'],
    [
      'either of two users, and either of two',
      any(header('a'), header('b')),
      any(header('b'), header('c')),
      'conflict',
    ],
    ['headers of two names', all(header('a')), all(header('a', 'x-team')), 'conflict'],
  ];
  test.each(cases)('%s', (_, a, b, expected) => {
    assert.equal(conflict(a, b) ? 'conflict' : 'together', expected);
    assert.equal(conflict(b, a), conflict(a, b));
  });

  test('a beginning and a folder that share paths are not disjoint', () => {
    const folder = all(path('prefix', '/api'));
    const proved = ['/', '/a', '/api', '/api/', '/api/x', '/apis', '/b'].map((start) => {
      const beginning = all(path('regex', `^${start}`));
      assert.equal(disjoint(beginning, folder), disjoint(folder, beginning));
      return disjoint(beginning, folder);
    });
    assert.deepEqual(proved, [false, false, false, false, false, true, true]);
  });

  test('containment goes before the number of conditions', () => {
    const narrow = all(path('exact', '/api/x'));
    const wide = all(path('prefix', '/api'));
    assert.ok(compareSpecificity(narrow, wide) < 0);
    assert.ok(compareSpecificity(wide, narrow) > 0);
    const two = all(header('a'), header('b', 'x-team'));
    assert.ok(compareSpecificity(two, narrow) < 0);
    assert.equal(compareSpecificity(narrow, all(header('a'))), 0);
  });
});
