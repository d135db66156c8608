import assert from 'node:assert/strict';
import { test } from 'vitest';
import { isMeant } from '../../../cli/commands/leave.ts';

test('--all means the sessions of the namespace and the context that are given, and else all of the laptop', () => {
  const records = ['s1', 's2'].flatMap((namespace) => ['here', 'there'].map((context) => ({ namespace, context })));
  const meant = (options: Parameters<typeof isMeant>[1]): string[] =>
    records.filter((record) => isMeant(record, options)).map(({ namespace, context }) => `${namespace} ${context}`);
  assert.deepEqual(meant({ namespace: 's1' }), ['s1 here', 's1 there']);
  assert.deepEqual(meant({ context: 'there' }), ['s1 there', 's2 there']);
  assert.deepEqual(meant({ namespace: 's2', context: 'here' }), ['s2 here']);
  assert.equal(meant({}).length, 4);
});
