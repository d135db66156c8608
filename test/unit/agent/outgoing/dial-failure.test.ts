import assert from 'node:assert/strict';
import { test } from 'vitest';
import { dialFailureReason } from '../../../../agent/outgoing/dial-failure.ts';

const failed = (code: string): Error => Object.assign(new Error(code), { code });

test.each([
  ['ECONNREFUSED', 'refused'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['EACCES', 'unreachable'],
  ['EPERM', 'unreachable'],
  ['ETIMEDOUT', 'timeout'],
  ['ENOTFOUND', 'not-found'],
  ['EAI_AGAIN', 'not-found'],
  ['EMFILE', 'limit'],
  ['ENFILE', 'limit'],
  ['ESOMETHING', 'unreachable'],
] as const)('%s is told as %s', (code, reason) => {
  assert.equal(dialFailureReason(failed(code)), reason);
});

test('of several addresses the failure that says most is told', () => {
  assert.equal(dialFailureReason(new AggregateError([failed('ENETUNREACH'), failed('ECONNREFUSED')])), 'refused');
  assert.equal(dialFailureReason(new AggregateError([failed('ENETUNREACH'), failed('ETIMEDOUT')])), 'timeout');
  assert.equal(dialFailureReason(new AggregateError([])), 'unreachable');
  assert.equal(dialFailureReason('no error at all'), 'unreachable');
});
