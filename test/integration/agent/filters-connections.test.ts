import assert from 'node:assert/strict';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { keepAlive, personal, startHttpWorld } from './support/filtered-world.ts';
import { answeredBy, ask, httpApp, seeingServer } from './support/http.ts';
import { dial, echoAs, exchange, until } from './support/tcp.ts';

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
