import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { Intercept } from '../../../src/protocol/control.ts';
import { claimOf, intercept } from './support/claims.ts';
import { personal, startHttpWorld } from './support/filtered-world.ts';
import { answeredBy, httpProcess, seeingServer, withHeader } from './support/http.ts';
import { RefusedRequest, refusalOf } from './support/session-double.ts';
import { until } from './support/tcp.ts';

const NONCE = 'abcdefghijklmnopqrstuv';

test('a more specific filter goes first, an overlapping or equal one is refused with its holder', async () => {
  const world = await startHttpWorld();
  await personal(world, 'ann');
  const narrow = {
    match: 'all',
    conditions: [
      { on: 'path', match: { kind: 'prefix', value: '/api' } },
      { on: 'header', name: 'x-user', match: { kind: 'exact', value: 'ann' } },
    ],
  } as const;
  const bob = await world.dial({ user: 'bob', onIncoming: httpProcess(seeingServer('bob')) });
  const claim = (filter: Intercept['filter']) =>
    bob.request(
      'claim',
      claimOf([intercept(world.appPort, { to: 'laptop', ...(filter === undefined ? {} : { filter }) })]),
    );
  const path = { match: 'all', conditions: [narrow.conditions[0]] } as const;
  for (const filter of [withHeader('x-user', 'ann'), path, undefined]) {
    const error = await refusalOf(claim(filter));
    assert.deepEqual([error.code, error.holder?.user], ['TARGET_IN_USE', 'ann']);
    assert.deepEqual(error.filter, withHeader('x-user', 'ann'));
  }
  await claim(narrow);
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }), 'ann');
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }, { path: '/api/x' }), 'bob');
  assert.equal(await answeredBy(world.routePort, {}, { path: '/api/x' }), 'app');
  await world.close();
});

test('a proof request is answered on a filtered port, and other requests pass unharmed meanwhile', async () => {
  const world = await startHttpWorld();
  const session = await personal(world, 'ann');
  await session.request('expectProof', { nonce: NONCE, ttlMs: 60_000 });
  const proof = { nonce: NONCE, protocol: 'tcp', host: '127.0.0.1', port: world.routePort, timeoutMs: 5_000 } as const;
  assert.deepEqual(await session.request('prove', proof), { pod: 'web-1' });
  assert.deepEqual(session.events, [{ type: 'event', event: 'proved', nonce: NONCE, appPort: world.appPort }]);
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }), 'ann');
  assert.equal(await answeredBy(world.routePort), 'app');
  await world.close();
});

test('counts tell requests taken and open; the holder shows when it was used last', async () => {
  const world = await startHttpWorld();
  const session = await personal(world, 'ann');
  const visitor = await world.dial();
  const before = (await visitor.request('status', {})).sessions[0];
  assert.equal(before?.lastActivityMs, undefined);
  for (let n = 0; n < 3; n++) await answeredBy(world.routePort, { 'x-user': 'ann' });
  await answeredBy(world.routePort);
  const status = await visitor.request('status', {});
  const [held] = status.intercepts;
  assert.deepEqual([held?.taken, held?.open, held?.to, held?.sessionId], [3, 0, 'laptop', session.identity.sessionId]);
  assert.deepEqual(held?.filter, withHeader('x-user', 'ann'));
  assert.ok((status.sessions[0]?.lastActivityMs ?? 0) > Date.now() - 10_000);
  assert.ok(!JSON.stringify(world.log).includes('"ann"'), 'no value of a filter in the log');
  await world.close();
});

test('a session that was taken over is told, one that is used is not', async () => {
  const world = await startHttpWorld({ graceMs: 60_000 });
  const ann = await personal(world, 'ann');
  const bob = await world.dial({ user: 'bob', onIncoming: httpProcess(seeingServer('bob')) });
  const claim = () => bob.request('claim', claimOf([intercept(world.appPort, { to: 'laptop' })], { takeOver: true }));
  await assert.rejects(claim, RefusedRequest);
  ann.cut();
  await until(() => world.agent.stats().sessions === 1, 'the agent knows');
  await claim();
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }), 'bob');
  await world.close();
});

test('filters that cannot be are refused by name', async () => {
  const world = await startHttpWorld();
  const session = await world.dial();
  const filter = {
    match: 'all',
    conditions: [{ on: 'header', name: 'x', match: { kind: 'regex', pattern: '(' } }],
  } as const;
  const error = await refusalOf(session.request('claim', claimOf([intercept(world.appPort, { filter })])));
  assert.equal(error.code, 'BAD_PARAMS');
  await world.close();
});
