import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import {
  type FilterOptions,
  filterArguments,
  filterText,
  parseFilterOptions,
  personalHints,
} from '../../../cli/commands/filter-options.ts';
import { InterceptorError } from '../../../src/errors.ts';
import type { Condition, Filter } from '../../../src/http/filter.ts';

const parse = (options: FilterOptions): Filter | undefined => parseFilterOptions(options, 'dev-1');
const only = (options: FilterOptions): Condition | undefined => parse(options)?.conditions[0];

/** What commander makes of arguments. */
function optionsOf(words: readonly string[]): FilterOptions {
  const options: Record<string, string[]> = {};
  let any = false;
  for (let at = 0; at < words.length; at++) {
    const name = words[at]?.slice(2) ?? '';
    if (name === 'any') any = true;
    else {
      at += 1;
      options[name] = [...(options[name] ?? []), words[at] ?? ''];
    }
  }
  const { personal, ...rest } = options;
  return { ...rest, any, ...(personal?.[0] === undefined ? {} : { personal: personal[0] }) };
}

describe('what is typed to take some requests', () => {
  test('nothing typed is no filter', () => {
    assert.equal(parse({}), undefined);
  });

  test.each([
    [{ header: ['X-User: dev-1'] }, { on: 'header', name: 'x-user', match: { kind: 'exact', value: 'dev-1' } }],
    [{ header: ['x-user:dev:1'] }, { on: 'header', name: 'x-user', match: { kind: 'exact', value: 'dev:1' } }],
    [{ header: ['x-user: ~^dev-'] }, { on: 'header', name: 'x-user', match: { kind: 'regex', pattern: '^dev-' } }],
    [{ header: ['x-user'] }, { on: 'header', name: 'x-user', match: { kind: 'present' } }],
    [{ path: ['/api'] }, { on: 'path', match: { kind: 'prefix', value: '/api' } }],
    [{ path: ['=/api'] }, { on: 'path', match: { kind: 'exact', value: '/api' } }],
    [{ path: ['~^/v[12]/'] }, { on: 'path', match: { kind: 'regex', pattern: '^/v[12]/' } }],
    [{ path: ['/straße x%20'] }, { on: 'path', match: { kind: 'prefix', value: '/stra%C3%9Fe%20x%20' } }],
    [{ method: ['post'] }, { on: 'method', match: { kind: 'exact', value: 'POST' } }],
    [{ query: ['user=a=b'] }, { on: 'query', name: 'user', match: { kind: 'exact', value: 'a=b' } }],
    [{ query: ['user=~^a'] }, { on: 'query', name: 'user', match: { kind: 'regex', pattern: '^a' } }],
    [{ query: ['user'] }, { on: 'query', name: 'user', match: { kind: 'present' } }],
    [{ host: ['API.example'] }, { on: 'host', match: { kind: 'exact', value: 'api.example' } }],
    [{ host: ['[::1]'] }, { on: 'host', match: { kind: 'exact', value: '[::1]' } }],
    [{ personal: true }, { on: 'personal', key: 'intercept', value: 'dev-1' }],
    [{ personal: 'dev 2' }, { on: 'personal', key: 'intercept', value: 'dev 2' }],
    [{ personal: 'team=blue' }, { on: 'personal', key: 'team', value: 'blue' }],
  ] satisfies [FilterOptions, Condition][])('%j', (options, condition) => {
    assert.deepEqual(only(options), condition);
  });

  test('several are joined by and, with --any by or', () => {
    const options = { header: ['a: 1'], method: ['GET', 'PUT'] };
    assert.equal(parse({ ...options, any: true })?.match, 'any');
    assert.equal(parse({ header: ['a: 1'], method: ['GET'] })?.match, 'all');
    assert.throws(
      () => parse(options),
      (error: InterceptorError) => /--any/.test(error.hint ?? ''),
    );
  });

  test.each([
    [{ header: ['x user: 1'] }, /--header "x user: 1" is not "name: value"/],
    [{ header: ['x-user=1'] }, /is not "name: value"/],
    [{ header: [':authority: a'] }, /is not "name: value"/],
    [{ header: ['x-user:'] }, /has no value/],
    [{ header: ['x-user: ~'] }, /no regular expression/],
    [{ header: ['x-user: ~('] }, /^--header 'x-user: ~\(': regular expression "\("/],
    [{ query: ['user=~('] }, /^--query 'user=~\(': regular expression "\("/],
    [{ path: ['~('] }, /^--path '~\(': regular expression "\("/],
    [{ header: ['~^dev-'] }, /has no name/],
    [{ header: ['~^dev-: a'] }, /has no name/],
    [{ path: ['api'] }, /does not begin with \//],
    [{ path: ['/api?x=1'] }, /has a query/],
    [{ method: ['GE T'] }, /is not a method/],
    [{ query: ['=1'] }, /has no name/],
    [{ query: ['-=~'] }, /no regular expression/],
    [{ host: ['api:8080'] }, /without their port/],
    [{ host: ['http://api'] }, /is not a name/],
    [{ personal: '' }, /is not a name/],
    [{ personal: 'a b=c' }, /is not a name/],
    [{ any: true }, /there is none/],
  ] satisfies [FilterOptions, RegExp][])('%j is refused', (options, message) => {
    assert.throws(
      () => parse(options),
      (error: unknown) =>
        error instanceof InterceptorError &&
        error.code === 'USAGE_BAD_OPTION' &&
        error.hint !== undefined &&
        message.test(error.message),
    );
  });
});

test('a hint for a pattern is one that does what it says', () => {
  const hintOf = (options: FilterOptions): string => {
    try {
      parse(options);
    } catch (error) {
      if (error instanceof InterceptorError) return error.hint ?? '';
    }
    return '';
  };
  assert.equal(hintOf({ header: ['x-user: ~'] }), "for example --header 'x-user: ~^dev-'");
  assert.equal(hintOf({ header: ['~^dev-'] }), "for example --header 'x-user: ~^dev-'");
  assert.equal(hintOf({ query: ['user=~'] }), "for example --query 'user=~^dev-'");
  assert.equal(hintOf({ host: ['~'] }), "for example --host '~^dev-'");
});

describe('a filter as somebody would type it', () => {
  const word = fc.stringMatching(/^[a-z~'" $=:é-]{1,8}$/).filter((text) => text.trim() === text && text !== '~');
  const typed: fc.Arbitrary<FilterOptions> = fc.record(
    {
      header: fc.array(
        word.map((text) => `x-a: ${text}`),
        { maxLength: 1 },
      ),
      path: fc.array(fc.constantFrom('/api', '=/a', '~^/v1', '/é'), { maxLength: 1 }),
      query: fc.array(
        word.filter((text) => !text.startsWith('=') && !/^[^=]+=~$/.test(text)), // no name; no regular expression
        { maxLength: 1 },
      ),
      host: fc.array(fc.constantFrom('a', '~b$', '[::1]'), { maxLength: 1 }),
      personal: word.filter((text) => !text.includes('=')),
      any: fc.boolean(),
    },
    { requiredKeys: ['personal'] },
  );

  test('reads as the same filter', () => {
    fc.assert(
      fc.property(typed, (options) => {
        const filter = parse(options);
        assert.ok(filter !== undefined);
        assert.deepEqual(parse(optionsOf(filterArguments(filter))), filter);
      }),
    );
  });

  test('is taken by a shell word by word', () => {
    const filter = parse({
      header: ["x-user: it's $HOME"],
      path: ['~^/a|b'],
      query: ['a=~x'],
      personal: '~me',
      any: true,
    });
    assert.ok(filter !== undefined);
    const shown = execFileSync('sh', ['-c', `printf '%s\\n' ${filterText(filter)}`], { encoding: 'utf8' });
    assert.deepEqual(shown.trimEnd().split('\n'), filterArguments(filter));
  });

  test('needs quotes only where a shell does', () => {
    const filter = parse({ header: ['x-user: dev-1'], path: ['/api'], personal: 'dev-1' });
    assert.equal(filter && filterText(filter), "--header 'x-user: dev-1' --path /api --personal dev-1");
  });
});

describe('how to send what a personal key takes', () => {
  test('the key goes in baggage or in a cookie, percent-encoded, with what else the filter wants', () => {
    const filter = parse({ personal: 'dev one', header: ['x-team: a', 'x-b'], method: ['POST'], path: ['/api'] });
    assert.deepEqual(filter && personalHints(filter, 'http://api/'), {
      curl: "curl -H 'baggage: intercept=dev%20one' -H 'x-team: a' -X POST http://api/",
      cookie: 'document.cookie = "intercept=dev%20one; path=/"',
      field: 'baggage: intercept=dev%20one',
    });
  });

  test('with --any the key is enough, and without a key there is no hint', () => {
    const either = parse({ personal: 'a', method: ['POST'], any: true });
    assert.equal(either && personalHints(either, '/')?.curl, "curl -H 'baggage: intercept=a' /");
    const none = parse({ path: ['/'] });
    assert.equal(none && personalHints(none, '/'), undefined);
  });
});
