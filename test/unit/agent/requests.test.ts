import assert from 'node:assert/strict';
import { test } from 'vitest';
import { MAX_PENDING_REQUESTS } from '../../../agent/limits.ts';
import { RequestFailure } from '../../../agent/request-failure.ts';
import { RequestDispatcher, type RequestHandlers } from '../../../agent/requests.ts';
import { silentLog } from '../../../src/log.ts';
import type { ControlResponse } from '../../../src/protocol/control.ts';
import { claimOf, intercept } from '../../integration/agent/support/claims.ts';

const NONCE = 'n'.repeat(22);
const nothing = () => ({});
const handlers: RequestHandlers = {
  claim: nothing,
  route: nothing,
  release: nothing,
  environment: () => ({ variables: { A: '1' } }),
  network: () => ({ addresses: [], nameservers: [], search: [], ndots: 1 }),
  files: () => ({ roots: [], files: [], unreadable: [] }),
  status: () => {
    throw new Error('broken');
  },
  expectProof: nothing,
  prove: () => new Promise(() => {}),
  evict: () => {
    throw new RequestFailure('SOME_CODE', 'some text');
  },
};

function newDispatcher() {
  const responses: ControlResponse[] = [];
  return { responses, dispatcher: new RequestDispatcher(handlers, (response) => responses.push(response), silentLog) };
}

async function ask(method: string, params: unknown): Promise<ControlResponse> {
  const { responses, dispatcher } = newDispatcher();
  await dispatcher.dispatch({ type: 'request', id: 7, method, params });
  assert.equal(responses.length, 1);
  const [response] = responses;
  assert.ok(response);
  return response;
}

async function errorOf(method: string, params: unknown): Promise<string> {
  const response = await ask(method, params);
  return 'error' in response ? response.error.code : 'no error';
}

test('a request is answered with its own id and the result', async () => {
  assert.deepEqual(await ask('environment', {}), { type: 'response', id: 7, result: { variables: { A: '1' } } });
});

test('an unknown method is answered, not ignored', async () => {
  for (const method of ['', 'fly', 'toString', '__proto__', 'constructor'])
    assert.equal(await errorOf(method, {}), 'UNKNOWN_METHOD');
});

test('a failure keeps its code, and one of ours becomes INTERNAL', async () => {
  assert.equal(await errorOf('evict', { by: 'me' }), 'SOME_CODE');
  assert.equal(await errorOf('status', {}), 'INTERNAL');
});

test('parameters of the wrong shape are refused by name', async () => {
  const wrong: [string, unknown][] = [
    ['claim', undefined],
    ['claim', []],
    ['claim', { appPorts: [80], replaces: [], takeOver: false, holdMs: 0 }],
    ['claim', { ...claimOf([80]), replaces: [1] }],
    ['claim', { ...claimOf([80]), takeOver: 'yes' }],
    ['claim', { ...claimOf([80]), spares: [1] }],
    ['claim', { ...claimOf([80]), holdMs: -1 }],
    ['claim', claimOf(Array(1000).fill(80))],
    ['claim', claimOf([80, 80])],
    ['route', { appPort: 80, protocol: 'tcp', to: 'moon' }],
    ['route', { appPort: 80, to: 'app' }],
    ['route', { protocol: 'tcp', to: 'app' }],
    ['evict', { by: 'a', sessionIds: 'b' }],
    ['expectProof', { nonce: 'a b', ttlMs: 1 }],
    ['expectProof', { nonce: `${NONCE}\r\n`, ttlMs: 1 }],
    ['expectProof', { nonce: NONCE, ttlMs: Number.NaN }],
    ['expectProof', { nonce: NONCE, ttlMs: -1 }],
    ['prove', { nonce: NONCE, protocol: 'tcp', host: '', port: 80, timeoutMs: 1 }],
    ['prove', { nonce: NONCE, protocol: 'tcp', host: 'a', port: 65536, timeoutMs: 1 }],
    ['prove', { nonce: NONCE, protocol: 'tcp', host: 'a', port: 80 }],
    ['prove', { nonce: NONCE, protocol: 'icmp', host: 'a', port: 80, timeoutMs: 1 }],
    ['evict', {}],
    ['files', {}],
    ['files', { exclude: [1], maxFiles: 1, maxBytes: 1, watch: false }],
    ['files', { exclude: Array(1000).fill('*'), maxFiles: 1, maxBytes: 1, watch: false }],
    ['files', { exclude: [], maxFiles: -1, maxBytes: 1, watch: false }],
    ['files', { exclude: [], maxFiles: 1, maxBytes: Number.NaN, watch: false }],
    ['files', { exclude: [], maxFiles: 1, maxBytes: 1 }],
  ];
  for (const [method, params] of wrong)
    assert.equal(await errorOf(method, params), 'BAD_PARAMS', JSON.stringify(params));
});

test('an intercept of the wrong shape is refused', async () => {
  const wrong: object[] = [
    { appPort: 0 },
    { appPort: '80' },
    { protocol: 'sctp' },
    { mirror: 1 },
    { fallback: 'other' },
    { mark: undefined },
    { to: 'nowhere' },
    { filter: {} },
    { filter: { match: 'all', conditions: [] } },
    { tls: { certificate: '', key: 'k' } },
    { protocol: 'udp', mirror: true },
    {
      protocol: 'udp',
      filter: { match: 'all', conditions: [{ on: 'method', match: { kind: 'exact', value: 'GET' } }] },
    },
  ];
  for (const part of wrong)
    assert.equal(
      await errorOf('claim', { ...claimOf([]), intercepts: [{ ...intercept(80), ...part }] }),
      'BAD_PARAMS',
      JSON.stringify(part),
    );
});

test('requests beyond the limit are answered with an error while the others wait', async () => {
  const { responses, dispatcher } = newDispatcher();
  const params = { nonce: NONCE, protocol: 'tcp', host: 'a', port: 80, timeoutMs: 1 };
  for (let id = 0; id < MAX_PENDING_REQUESTS; id++)
    void dispatcher.dispatch({ type: 'request', id, method: 'prove', params });
  await dispatcher.dispatch({ type: 'request', id: 999, method: 'environment', params: {} });
  assert.deepEqual(
    responses.map((response) => [response.id, 'error' in response && response.error.code]),
    [[999, 'LIMIT']],
  );
});
