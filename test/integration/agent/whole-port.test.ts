import assert from 'node:assert/strict';
import { test } from 'vitest';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { ask, httpApp, seeingServer } from './support/http.ts';
import { acceptWith, refusalOf, refuseAll, type SessionDouble } from './support/session-double.ts';
import { dial, echoAs, exchange, readAll, until } from './support/tcp.ts';

const GET = 'GET /x HTTP/1.1\r\nHost: web\r\n\r\n';

async function route(world: AgentWorld, session: SessionDouble, to: 'laptop' | 'held' | 'app'): Promise<void> {
  await session.request('route', { appPort: world.appPort, protocol: 'tcp', to });
}

test('without a fallback HTTP callers of a whole port are told why nobody answers, others are reset', async () => {
  const world = await startWorld();
  const session = await world.dial({ onIncoming: refuseAll });
  await session.request('claim', claimOf([intercept(world.appPort, { fallback: 'refuse', to: 'laptop' })]));
  const { bytes } = await exchange(world.routePort, GET);
  assert.match(
    bytes.toString(),
    /^HTTP\/1\.1 503 [\s\S]*Connection: close[\s\S]*nothing listens on the laptop of ann@desk/,
  );
  assert.equal((await exchange(world.routePort, '\x00\x01')).how, 'reset');
  const late = await dial(world.routePort);
  const outcome = readAll(late);
  await until(() => session.streams.length === 3, 'it was refused before it spoke');
  late.end(GET);
  assert.match((await outcome).bytes.toString(), /503/);
  const head = await exchange(world.routePort, GET.replace('GET', 'HEAD'));
  assert.ok(head.bytes.toString().endsWith('\r\n\r\n'));
  session.cut();
  await until(() => world.agent.stats().sessions === 0, 'the agent knows');
  assert.match((await exchange(world.routePort, GET)).bytes.toString(), /the session of ann@desk was lost/);
  await world.close();
});

test('callers of a held port wait longer than for a laptop that is silent', async () => {
  const world = await startWorld();
  const session = await world.dial({ onIncoming: () => {} });
  await session.request('claim', claimOf([intercept(world.appPort, { to: 'laptop' })], { holdMs: 30_000 }));
  const silent = exchange(world.routePort, 'silent');
  await until(() => session.streams.length === 1, 'the stream is open');
  assert.equal((await silent).bytes.toString(), 'app:silent');
  const held = exchange(world.routePort, 'held');
  await until(() => session.streams.length === 2, 'the stream is open');
  await route(world, session, 'held');
  // Nothing is to happen for longer than a silent laptop may take.
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  const [, stream] = session.streams;
  assert.equal(stream?.destroyed, false);
  acceptWith(echoAs('laptop'))(stream ?? assert.fail());
  assert.equal((await held).bytes.toString(), 'laptop:held');
  await world.close();
});

test('where the app is replaced nobody answers in its place', async () => {
  const world = await startWorld(echoAs('app'), { appState: 'replaced' });
  assert.match((await exchange(world.routePort, GET)).bytes.toString(), /^HTTP\/1\.1 503 [\s\S]*--replace/);
  assert.equal((await exchange(world.routePort, 'PING\r\n')).how, 'reset');
  const session = await world.dialIntercepting({ onIncoming: acceptWith(echoAs('laptop')) });
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'laptop:x');
  const filter = { match: 'all', conditions: [{ on: 'method', match: { kind: 'exact', value: 'PUT' } }] } as const;
  await session.request('claim', claimOf([intercept(world.appPort, { filter, to: 'laptop' })]));
  const answer = await ask(world.routePort);
  assert.equal(answer.status, 503);
  assert.match(answer.text, /--replace/);
  await world.close();
});

test('a claim that is made again keeps its counts, and one of something else begins anew', async () => {
  const world = await startWorld(httpApp(seeingServer('app')));
  const session = await world.dial({ onIncoming: acceptWith(echoAs('laptop')) });
  const claim = claimOf([intercept(world.appPort, { to: 'laptop' })]);
  await session.request('claim', claim);
  await exchange(world.routePort, 'x');
  await session.request('claim', claim);
  assert.equal((await session.request('status', {})).intercepts[0]?.taken, 1);
  await session.request('claim', claimOf([intercept(world.appPort, { to: 'laptop', mirror: true })]));
  assert.equal((await session.request('status', {})).intercepts[0]?.taken, 0);
  await world.close();
});

test('eviction of some leaves the others', async () => {
  const world = await startWorld();
  const ann = await world.dialIntercepting({ sessionId: 'ann', onIncoming: acceptWith(echoAs('ann')) });
  const bob = await world.dial({ sessionId: 'bob' });
  await bob.request('claim', claimOf([intercept(world.appPort, { mirror: true })]));
  const visitor = await world.dial();
  const { sessions } = await visitor.request('evict', { by: 'bob@desk', sessionIds: ['bob', 'nobody'] });
  assert.deepEqual(
    sessions.map(({ sessionId }) => sessionId),
    ['bob'],
  );
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'ann:x');
  assert.deepEqual(ann.events, []);
  assert.equal((await refusalOf(bob.request('claim', claimOf([])))).code, 'SESSION_NOT_FOUND');
  await bob.mux.close();
  await until(() => world.agent.stats().sessions === 2, 'it is gone');
  await world.close();
});
