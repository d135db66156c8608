import assert from 'node:assert/strict';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { acceptWith } from './support/session-double.ts';
import { dial, echoAs, exchange, readAll, until } from './support/tcp.ts';

const NEVER_MS = 600_000;

test('callers of an agent that has just begun wait for the session: none of them meets the app', async () => {
  const world = await startWorld(echoAs('app'), { readyWithoutClaimMs: NEVER_MS });
  const early = exchange(world.routePort, 'early');
  await until(() => world.agent.stats().openConnections === 1, 'the caller is there');
  const session = await world.dial({ onIncoming: acceptWith(echoAs('laptop')) });
  assert.equal(session.streams.length, 0);
  await session.request('claim', claimOf([intercept(world.appPort, { to: 'laptop' })]));
  assert.equal((await early).bytes.toString(), 'laptop:early');
  assert.equal((await exchange(world.routePort, 'late')).bytes.toString(), 'laptop:late');
  await world.close();
});

test('without a session they have the app, once the pod is ready', async () => {
  const world = await startWorld(echoAs('app'), { readyWithoutClaimMs: 200 });
  assert.equal((await exchange(world.routePort, 'early')).bytes.toString(), 'app:early');
  await world.close();
});

test('one that goes is forgotten, those that are left when the agent ends are reset', async () => {
  const world = await startWorld(echoAs('app'), { readyWithoutClaimMs: NEVER_MS });
  const gone = await dial(world.routePort);
  const left = await dial(world.routePort);
  const outcome = readAll(left);
  await until(() => world.agent.stats().openConnections === 2, 'both are there');
  gone.resetAndDestroy();
  await until(() => world.agent.stats().openConnections === 1, 'one is gone');
  await world.agent.close();
  assert.equal((await outcome).how, 'reset');
  await until(() => world.agent.stats().openConnections === 0, 'none is left');
  await world.app.close();
});
