import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'vitest';
import { keepAlive, personal, startHttpWorld } from './support/filtered-world.ts';
import { answeredBy, ask, type Seen } from './support/http.ts';
import { dial, readAll } from './support/tcp.ts';

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
