import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import type { Condition, Filter } from '../../../../src/http/filter.ts';
import { compileFilter } from '../../../../src/http/filters/match.ts';
import { conflict } from '../../../../src/http/filters/order.ts';
import { FilterTable } from '../../../../src/http/filters/table.ts';
import { anyFilter, anyHead, headOf } from './requests.ts';

const tableOf = (filters: readonly Filter[]): FilterTable<number> =>
  new FilterTable(filters.map((filter, order) => ({ filter: compileFilter(filter), value: order, order })));
const one = (condition: Condition): Filter => ({ match: 'all', conditions: [condition] });

describe('the filters of one port', () => {
  test('a request finds all that match it, as if each were tried', () => {
    fc.assert(
      fc.property(fc.array(anyFilter, { maxLength: 12 }), anyHead, (filters, head) => {
        const matching = filters.flatMap((filter, at) => (compileFilter(filter).matches(head) ? [at] : []));
        const table = tableOf(filters);
        const found = table.all(head);
        assert.deepEqual(
          [...found].sort((a, b) => a - b),
          matching,
        );
        assert.equal(table.lookup(head), found[0]);
      }),
      { numRuns: 2000 },
    );
  });

  test('of filters that may be together the most specific takes the request, whatever the order of claims', () => {
    fc.assert(
      fc.property(fc.array(anyFilter, { maxLength: 12 }), anyHead, (filters, head) => {
        const together: Filter[] = [];
        for (const filter of filters)
          if (!together.some((other) => conflict(compileFilter(other), compileFilter(filter)))) together.push(filter);
        const table = tableOf(together).lookup(head);
        const turned = [...together].reverse();
        const other = tableOf(turned).lookup(head);
        assert.equal(
          table === undefined ? undefined : together[table],
          other === undefined ? undefined : turned[other],
        );
      }),
      { numRuns: 1000 },
    );
  });

  test('a path in a path goes first, then more conditions, then the older claim', () => {
    const api: Condition = { on: 'path', match: { kind: 'prefix', value: '/api' } };
    const user: Condition = { on: 'header', name: 'x-a', match: { kind: 'exact', value: 'a' } };
    const present: Condition = { on: 'header', name: 'x-b', match: { kind: 'present' } };
    const filters: Filter[] = [
      one(api),
      one(present),
      { match: 'all', conditions: [user, present] },
      one({ on: 'path', match: { kind: 'exact', value: '/api/x' } }),
    ];
    const head = headOf({ path: '/api/x', headers: { 'x-a': 'a', 'x-b': '' } });
    assert.deepEqual(tableOf(filters).all(head), [2, 1, 3, 0]);
  });

  test('250 filters on one header read it once', () => {
    let reads = 0;
    const filters = Array.from({ length: 250 }, (_, at) =>
      one({ on: 'header', name: 'x-user', match: { kind: 'exact', value: `dev-${at}` } }),
    );
    const head = {
      ...headOf({}),
      header: () => {
        reads += 1;
        return 'dev-249';
      },
    };
    assert.equal(tableOf(filters).lookup(head), 249);
    assert.equal(reads, 1);
  });

  test('a path is found by its folders, the root among them', () => {
    const prefix = (value: string): Filter => one({ on: 'path', match: { kind: 'prefix', value } });
    const table = tableOf([prefix('/'), prefix('/api/'), prefix('/api/v1')]);
    const found = (path: string): number | undefined => table.lookup(headOf({ path }));
    assert.deepEqual(['/', '/apis', '/api', '/api/', '/api/v1', '/api/v1/x', '/api/v12', '*', ''].map(found), [
      0,
      0,
      1,
      1,
      2,
      2,
      1,
      undefined,
      undefined,
    ]);
  });
});
