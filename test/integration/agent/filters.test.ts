import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { test } from 'vitest';
import type { Intercept } from '../../../src/protocol/control.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { answeredBy, ask, httpApp, httpProcess, type Seen, seeingServer, withHeader } from './support/http.ts';
import { RefusedRequest, refusalOf, refuseAll, type SessionDouble } from './support/session-double.ts';
import { dial, echoAs, exchange, readAll, until } from './support/tcp.ts';

const NONCE = 'abcdefghijklmnopqrstuv';

async function startHttpWorld(options?: Parameters<typeof startWorld>[1]): Promise<AgentWorld> {
  return await startWorld(httpApp(seeingServer('app')), options);
}

/** A session whose process answers requests with `x-user: <user>`. */
async function personal(world: AgentWorld, user: string, more: Partial<Intercept> = {}): Promise<SessionDouble> {
  const session = await world.dial({ user, onIncoming: httpProcess(seeingServer(user)) });
  await session.request('claim', claimOf([filtered(world, user, more)]));
  return session;
}

function filtered(world: AgentWorld, user: string, more: Partial<Intercept> = {}): Intercept {
  return intercept(world.appPort, { filter: withHeader('x-user', user), to: 'laptop', ...more });
}

function keepAlive(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

test('three keys on fresh and kept connections: each request is answered by its own process, the others by the app', async () => {
  const world = await startHttpWorld();
  const sessions = [];
  for (const user of ['ann', 'bob', 'eve']) sessions.push(await personal(world, user));
  const agents = Array.from({ length: 6 }, keepAlive);
  const users = ['ann', 'bob', 'eve', 'nobody'];
  const asked = Array.from({ length: 240 }, async (_, n) => {
    const user = users[(n * 7) % users.length] ?? '';
    const agent = n % 3 === 0 ? undefined : agents[n % agents.length];
    const by = await answeredBy(world.routePort, { 'x-user': user }, agent === undefined ? {} : { agent });
    assert.equal(by, user === 'nobody' ? 'app' : user);
  });
  await Promise.all(asked);
  await sessions[1]?.request('release', {});
  const rest = users.map(async (user) => await answeredBy(world.routePort, { 'x-user': user }));
  assert.deepEqual(await Promise.all(rest), ['ann', 'app', 'eve', 'app']);
  for (const agent of agents) {
    assert.equal(await answeredBy(world.routePort, { 'x-user': 'eve' }, { agent }), 'eve');
    agent.destroy();
  }
  await world.close();
});

test('the process is told by a field who took the request, the app gets it as it was, a mark only where it is wanted', async () => {
  const world = await startHttpWorld();
  await personal(world, 'ann', { mark: true });
  await personal(world, 'bob');
  const ann = await ask(world.routePort, { 'x-user': 'ann' });
  assert.equal((JSON.parse(ann.text) as Seen).headers['x-intercept-by'], 'ann@desk');
  assert.equal(ann.headers['x-intercept-by'], 'ann@desk');
  const bob = await ask(world.routePort, { 'x-user': 'bob' });
  assert.equal((JSON.parse(bob.text) as Seen).headers['x-intercept-by'], 'bob@desk');
  assert.equal(bob.headers['x-intercept-by'], undefined);
  const app = await ask(world.routePort, { 'x-user': 'eve' });
  assert.equal((JSON.parse(app.text) as Seen).headers['x-intercept-by'], undefined);
  await world.close();
});

test('a request that has been through eight intercepts is refused instead of going on', async () => {
  const world = await startHttpWorld();
  await personal(world, 'ann');
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  const marks = 'x-intercept-by: ann@desk\r\n'.repeat(8);
  caller.write(`GET / HTTP/1.1\r\nHost: web\r\nx-user: ann\r\n${marks}Connection: close\r\n\r\n`);
  assert.match((await outcome).bytes.toString(), /^HTTP\/1\.1 508 [\s\S]*circle/);
  caller.end();
  await world.close();
});

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

test('connections kept with the app before the first filter end between requests, so that the next one is routed', async () => {
  const world = await startHttpWorld();
  const agent = keepAlive();
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }, { agent }), 'app');
  assert.equal(world.agent.stats().openConnections, 1);
  await personal(world, 'ann');
  await until(() => world.agent.stats().openConnections === 0, 'the kept connection is closed');
  assert.equal(await answeredBy(world.routePort, { 'x-user': 'ann' }, { agent }), 'ann');
  agent.destroy();
  await world.close();
});

test('a request under way when the first filter comes is answered in full by the app, however long that takes', async () => {
  const answers: (() => void)[] = [];
  const world = await startWorld(
    httpApp(
      seeingServer('app', (_request, response) => {
        response.write('first half, ');
        answers.push(() => response.end('second half'));
      }),
    ),
  );
  const agent = keepAlive();
  const answer = ask(world.routePort, {}, { agent });
  await until(() => answers.length === 1, 'the app has the request');
  await personal(world, 'ann');
  await new Promise((resolve) => setTimeout(resolve, 1_200)); // longer than a kept connection may be idle
  for (const finish of answers) finish();
  assert.equal((await answer).text, 'first half, second half');
  agent.destroy();
  await world.close();
});

test('callers that speak no HTTP get the app, and the session is told once', async () => {
  const world = await startWorld(echoAs('app'));
  const session = await personal(world, 'ann');
  for (const bytes of ['\x00\x01binary', '\x16\x03\x01\x00\x05hello', '\x00again'])
    assert.equal(
      (await exchange(world.routePort, Buffer.from(bytes, 'latin1'))).bytes.toString('latin1'),
      `app:${bytes}`,
    );
  await until(() => session.events.length > 0, 'the session is told');
  assert.deepEqual(session.events, [{ type: 'event', event: 'not-http', appPort: world.appPort, speaks: 'other' }]);
  await world.close();
});

test('a port that is only probed says nothing about what its callers speak', async () => {
  const world = await startHttpWorld();
  const session = await personal(world, 'ann');
  for (let n = 0; n < 5; n++) (await dial(world.routePort)).end();
  await until(() => world.agent.stats().openConnections === 0, 'the probes are over');
  assert.deepEqual(session.events, []);
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

test('a stopped pod closes kept connections politely and finishes what is open', async () => {
  const world = await startHttpWorld({ drainLingerMs: 0 });
  await personal(world, 'ann');
  const agent = keepAlive();
  await answeredBy(world.routePort, { 'x-user': 'ann' }, { agent });
  assert.equal(world.agent.stats().openConnections, 1);
  await world.agent.drain();
  assert.equal(world.agent.stats().openConnections, 0);
  agent.destroy();
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

test('250 sessions with a key each on one port are routed right', async () => {
  const world = await startHttpWorld();
  const users = Array.from({ length: 250 }, (_, n) => `user-${n}`);
  for (const user of users) await personal(world, user);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const wrong: string[] = [];
  await Promise.all(
    [...users, 'nobody'].map(async (user) => {
      const by = await answeredBy(world.routePort, { 'x-user': user }, { agent });
      if (by !== (user === 'nobody' ? 'app' : user)) wrong.push(`${user}: ${by}`);
    }),
  );
  assert.deepEqual(wrong, []);
  agent.destroy();
  await world.close();
});

test('a stream for what a filter took tells the app port and the caller', async () => {
  const world = await startHttpWorld();
  const session = await personal(world, 'ann');
  await answeredBy(world.routePort, { 'x-user': 'ann' });
  assert.deepEqual(session.incoming, [{ kind: 'incoming', port: world.appPort, host: '127.0.0.1' }]);
  await world.close();
});
