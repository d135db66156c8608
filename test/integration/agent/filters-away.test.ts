import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'vitest';
import { claimOf } from './support/claims.ts';
import { filtered, startHttpWorld } from './support/filtered-world.ts';
import { answeredBy, ask, httpProcess, type Seen, seeingServer } from './support/http.ts';
import { refuseAll } from './support/session-double.ts';
import { until } from './support/tcp.ts';

test('a process that does not listen leaves its requests to the app, bodies and all', async () => {
  const world = await startHttpWorld();
  const session = await world.dial({ user: 'ann', onIncoming: refuseAll });
  await session.request('claim', claimOf([filtered(world, 'ann')]));
  const body = 'x'.repeat(100_000);
  const { text } = await ask(world.routePort, { 'x-user': 'ann' }, { method: 'POST', body });
  const seen = JSON.parse(text) as Seen;
  assert.deepEqual([seen.by, seen.method, seen.body], ['app', 'POST', body]);
  await world.close();
});

test('without a fallback the caller is told whose laptop does not answer, and why', async () => {
  const world = await startHttpWorld();
  const session = await world.dial({ user: 'ann', onIncoming: refuseAll });
  await session.request('claim', claimOf([filtered(world, 'ann', { fallback: 'refuse', to: 'app' })]));
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }), 'app', 'it has not begun');
  await session.request('route', { appPort: world.appPort, protocol: 'tcp', to: 'laptop' });
  const refused = await ask(world.routePort, { 'x-user': 'ann' });
  assert.equal(refused.status, 503);
  assert.match(refused.text, /nothing listens on the laptop of ann@desk/);
  await session.request('route', { appPort: world.appPort, protocol: 'tcp', to: 'app' });
  assert.match((await ask(world.routePort, { 'x-user': 'ann' })).text, /nothing listens/);
  assert.equal(await answeredBy(world.routePort), 'app');
  session.cut();
  await until(() => world.agent.stats().sessions === 0, 'the agent knows');
  assert.match((await ask(world.routePort, { 'x-user': 'ann' })).text, /session of ann@desk was lost/);
  await world.close();
});

test('requests wait while the process is away, and get its answer when it is back', async () => {
  const world = await startHttpWorld();
  const server = seeingServer('ann');
  let isBack = false;
  const session = await world.dial({
    user: 'ann',
    onIncoming: (stream) => {
      if (!isBack) return;
      httpProcess(server)(stream);
    },
  });
  await session.request('claim', claimOf([filtered(world, 'ann', { to: 'held' })]));
  const started = performance.now();
  const waiting = answeredBy(world.routePort, { 'x-user': 'ann' });
  await until(() => session.streams.length === 1, 'the stream is open');
  await once(session.streams[0] ?? assert.fail(), 'close', { signal: AbortSignal.timeout(4_000) }).then(
    () => assert.fail('the caller was let go'),
    () => {},
  );
  isBack = true;
  for (const stream of session.streams) httpProcess(server)(stream);
  assert.equal(await waiting, 'ann');
  assert.ok(performance.now() - started > 3_900);
  await world.close();
});

test('a hold has its end: then the app answers', async () => {
  const world = await startHttpWorld();
  const session = await world.dial({ user: 'ann', onIncoming: () => {} });
  await session.request('claim', claimOf([filtered(world, 'ann', { to: 'held' })], { holdMs: 5_000 }));
  const started = performance.now();
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }), 'app');
  const tookMs = performance.now() - started;
  assert.ok(tookMs >= 4_900 && tookMs < 6_500, `${tookMs} ms`);
  await world.close();
});
