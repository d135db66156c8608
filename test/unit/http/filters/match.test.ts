import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Condition, TextMatch } from '../../../../src/http/filter.ts';
import { compileFilter } from '../../../../src/http/filters/match.ts';
import { personalValue } from '../../../../src/http/filters/personal.ts';
import { hostOf, queryValue } from '../../../../src/http/filters/texts.ts';
import { type HeadParts, headOf } from './requests.ts';

const matches = (condition: Condition, parts: HeadParts): boolean =>
  compileFilter({ match: 'all', conditions: [condition] }).matches(headOf(parts));
const exact = (value: string): TextMatch => ({ kind: 'exact', value });

describe('which requests a condition takes', () => {
  test('a header by its whole value, by a pattern in it, or by being there', () => {
    const on = (match: TextMatch, value?: string): boolean =>
      matches({ on: 'header', name: 'x-user', match }, value === undefined ? {} : { headers: { 'x-user': value } });
    assert.deepEqual([on(exact('a'), 'a'), on(exact('a'), 'a, b'), on(exact('a'))], [true, false, false]);
    const found: TextMatch = { kind: 'regex', pattern: 'dev-\\d' };
    assert.deepEqual([on(found, 'x dev-1 y'), on(found, 'dev-x'), on(found)], [true, false, false]);
    assert.deepEqual([on({ kind: 'present' }, ''), on({ kind: 'present' })], [true, false]);
  });

  test('a host without its port and in lower case', () => {
    const on = (authority: string): boolean => matches({ on: 'host', match: exact('api.shop') }, { authority });
    assert.deepEqual([on('api.shop'), on('API.shop:8080'), on('api.shop.x')], [true, true, false]);
    assert.deepEqual(['[::1]:80', '[::1]', 'a:', ''].map(hostOf), ['[::1]', '[::1]', 'a', '']);
  });

  test('methods are compared as they are written', () => {
    assert.ok(matches({ on: 'method', match: exact('GET') }, { method: 'GET' }));
    assert.ok(!matches({ on: 'method', match: exact('GET') }, { method: 'get' }));
  });

  test('any needs one condition, all needs each', () => {
    const conditions: Condition[] = [
      { on: 'path', match: exact('/a') },
      { on: 'query', name: 'q', match: exact('1') },
    ];
    const head = headOf({ path: '/a' });
    assert.ok(compileFilter({ match: 'any', conditions }).matches(head));
    assert.ok(!compileFilter({ match: 'all', conditions }).matches(head));
  });
});

describe('the first query parameter of a name', () => {
  test.each([
    ['q=1', '1'],
    ['a=0&q=1&q=2', '1'],
    ['q', ''],
    ['q=', ''],
    ['q=a+b%20c', 'a b c'],
    ['%71=x', 'x'],
    ['q=100%', '100%'],
    ['q=%ff', '%ff'],
    ['qq=1', undefined],
    ['', undefined],
    ['&&', undefined],
  ])('%j has %j', (query, value) => {
    assert.equal(queryValue(query, 'q'), value);
  });
});

describe('a personal key', () => {
  const valueIn = (headers: Record<string, string>): string | undefined =>
    personalValue(headOf({ headers }), 'intercept');
  test.each([
    [{ baggage: 'intercept=dev-1' }, 'dev-1'],
    [{ baggage: 'a=b, intercept = dev%20one ;p=1;q, c=d' }, 'dev one'],
    [{ baggage: 'xintercept=no,intercept=yes' }, 'yes'],
    [{ baggage: 'intercept=1,intercept=2' }, '1'],
    [{ baggage: 'a=intercept', tracestate: 'x@y=1,intercept=dev-1' }, 'dev-1'],
    [{ tracestate: 'intercept=trace', cookie: 'intercept=cookie' }, 'trace'],
    [{ baggage: 'intercept=first', tracestate: 'intercept=second' }, 'first'],
    [{ cookie: 'sid=1; intercept="dev-1"' }, 'dev-1'],
    [{ cookie: 'intercept=a=b' }, 'a=b'],
    [{ cookie: 'Intercept=dev-1' }, undefined],
    [{}, undefined],
  ])('of %j is %j', (headers, value) => {
    assert.equal(valueIn(headers as Record<string, string>), value);
  });
});
