import assert from 'node:assert/strict';
import { test } from 'vitest';
import { parseSeconds } from '../../../cli/commands/seconds.ts';

test('what is within its limits is taken, with decimals', () => {
  assert.deepEqual(
    ['0', '0.5', '300'].map((text) => parseSeconds('--resume', text, { least: 0, most: 300 })),
    [0, 0.5, 300],
  );
});

test.each([
  ['--resume', '9999', { least: 0, most: 300 }, '--resume "9999" is more than 300 seconds', /; at most 300$/],
  ['--hold', '100', { least: 0, most: 60 }, '--hold "100" is more than 60 seconds', /--hold 60; at most 60$/],
  ['--hold', 'Infinity', { least: 0, most: 60 }, '--hold "Infinity" is more than 60 seconds', /./],
  ['--hold', '-1', { least: 0, most: 60 }, '--hold "-1" is less than 0 seconds', /./],
  ['--listen-timeout', '0', {}, '--listen-timeout "0" is not more than 0 seconds', /--listen-timeout 60$/],
  ['--hold', 'ten', { least: 0, most: 60 }, '--hold "ten" is not a number of seconds', /./],
  ['--hold', ' ', { least: 0, most: 60 }, '--hold " " is not a number of seconds', /./],
])('%s %s is refused for what is wrong with it', (option, text, limits, message, hint) => {
  assert.throws(() => parseSeconds(option, text, limits), { code: 'USAGE_BAD_OPTION', message, hint });
});
