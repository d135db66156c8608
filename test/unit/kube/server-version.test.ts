import assert from 'node:assert/strict';
import { test } from 'vitest';
import { isAtLeast } from '../../../cli/kube/server-version.ts';

test.each([
  ['{"major":"1","minor":"22"}', true],
  ['{"major":"1","minor":"29+"}', true],
  ['{"major":"2","minor":"0"}', true],
  ['{"major":"1","minor":"20"}', false],
  ['{"major":"1","minor":"9"}', false],
  ['{}', false],
  ['<html>', false],
])('%s is 1.22 or later: %s', (text, expected) => {
  assert.equal(isAtLeast(text, 22), expected);
});
