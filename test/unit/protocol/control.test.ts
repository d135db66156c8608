import assert from 'node:assert/strict';
import { test } from 'vitest';
import { InterceptorError } from '../../../src/errors.ts';
import type { ControlMessage } from '../../../src/protocol/control.ts';
import { parseControlMessage } from '../../../src/protocol/parse-control.ts';

const HOLDER = { sessionId: 's', user: 'ann', host: 'desk', sinceMs: 1, lastSeenMs: 2, connected: true };
const FILTER = { match: 'all', conditions: [{ on: 'method', match: { kind: 'exact', value: 'PUT' } }] } as const;

function refused(error: object): ControlMessage {
  return parseControlMessage(JSON.stringify({ type: 'response', id: 1, error: { code: 'C', message: 'm', ...error } }));
}

test('messages come back as they were sent', () => {
  const messages: ControlMessage[] = [
    { type: 'request', id: 1, method: 'status', params: {} },
    { type: 'response', id: 2, result: { a: 1 } },
    { type: 'response', id: 3, error: { code: 'TARGET_IN_USE', message: 'm', holder: HOLDER, filter: FILTER } },
    { type: 'response', id: 3, error: { code: 'C', message: 'm', holder: { ...HOLDER, lastActivityMs: 3 } } },
    {
      type: 'response',
      id: 3,
      error: { code: 'C', message: 'm', others: [{ holder: HOLDER, filter: FILTER }], more: 2 },
    },
    { type: 'event', event: 'evicted', by: 'bob@box' },
    { type: 'event', event: 'evicted', by: 'bob@box', takeOver: true },
    { type: 'event', event: 'not-http', appPort: 80, speaks: 'tls' },
    { type: 'event', event: 'tls-lacks', appPort: 80, lacks: 'h2' },
    { type: 'event', event: 'proved', nonce: 'n', appPort: 80 },
    { type: 'event', event: 'draining' },
    { type: 'event', event: 'files-changed' },
  ];
  for (const message of messages) assert.deepEqual(parseControlMessage(JSON.stringify(message)), message);
});

test('what an error says beside its text is left out when it has another shape', () => {
  const plain = { type: 'response', id: 1, error: { code: 'C', message: 'm' } };
  for (const error of [
    { holder: 'ann' },
    { holder: { ...HOLDER, lastActivityMs: 'now' } },
    { filter: {} },
    { filter: { match: 'all', conditions: [1] } },
    { filter: { match: 'some', conditions: [] } },
  ])
    assert.deepEqual(refused(error), plain, JSON.stringify(error));
});

test('a filter with a condition of a newer agent is kept, to be shown', () => {
  const filter = { match: 'any', conditions: [{ on: 'moon', phase: 'full' }] };
  const message = refused({ filter });
  assert.ok(message.type === 'response' && 'error' in message);
  assert.deepEqual(message.error.filter, filter);
});

test('what is no message is PROTOCOL_BAD_MESSAGE', () => {
  const wrong = [
    'x',
    '[]',
    '{"type":"request","id":-1,"method":"a"}',
    '{"type":"response","id":1,"error":{"code":1}}',
    '{"type":"event","event":"evicted"}',
    '{"type":"event","event":"not-http","appPort":80,"speaks":"morse"}',
    '{"type":"event","event":"tls-lacks","appPort":80,"lacks":"morse"}',
    '{"type":"event","event":"new one"}',
    '{"type":"other"}',
  ];
  for (const text of wrong)
    assert.throws(
      () => parseControlMessage(text),
      (failure) => failure instanceof InterceptorError && failure.code === 'PROTOCOL_BAD_MESSAGE',
      text,
    );
});
