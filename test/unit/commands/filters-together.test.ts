import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'vitest';
import { type FilterOptions, parseFilterOptions } from '../../../cli/commands/filter-options.ts';
import { compileFilter } from '../../../src/http/filters/match.ts';
import { conflict } from '../../../src/http/filters/order.ts';
import { README } from '../../support/readme.ts';

/** Reads `--path /api --header 'x-user: ann'`. */
function filterOf(text: string): ReturnType<typeof compileFilter> {
  const options: Record<string, string[]> = {};
  for (const [, name = '', quoted, bare] of text.matchAll(/--(\w+) (?:'([^']*)'|(\S+))/g))
    options[name] = [...(options[name] ?? []), quoted ?? bare ?? ''];
  const { personal, ...rest } = options;
  const typed: FilterOptions = { ...rest, ...(personal?.[0] === undefined ? {} : { personal: personal[0] }) };
  return compileFilter(parseFilterOptions(typed, 'me') ?? assert.fail(text));
}

test('what the README says of two filters on one port is what becomes of them', () => {
  const rows = [...readFileSync(README, 'utf8').matchAll(/^\| `([^`]+)` and `([^`]+)` \| (together|refused)/gm)];
  assert.equal(rows.length, 9);
  for (const [row, one = '', other = '', what] of rows) {
    assert.equal(conflict(filterOf(one), filterOf(other)), what === 'refused', row);
    assert.equal(conflict(filterOf(other), filterOf(one)), what === 'refused', row);
  }
  assert.equal(conflict(filterOf("--header 'x-user: ~^ann'"), filterOf("--header 'x-user: ~^bob'")), false);
});
