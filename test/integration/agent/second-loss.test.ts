import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { answeredBy, ask, httpApp, httpProcess, seeingServer, withHeader } from './support/http.ts';

test('who asks right behind a second loss has the app after a moment, as behind the first', async () => {
  const world = await startWorld(httpApp(seeingServer('app')));
  const session = await world.dial({ resumeMs: 60_000, onIncoming: httpProcess(seeingServer('laptop')) });
  await session.request(
    'claim',
    claimOf([intercept(world.appPort, { filter: withHeader('x-user', 'ann'), to: 'laptop' })]),
  );
  const visitor = await world.dial();
  const isAway = async (): Promise<void> => {
    session.cut();
    for (;;) if ((await visitor.request('status', {})).sessions[0]?.connected === false) return;
  };
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const by = (): Promise<string> => answeredBy(world.routePort, { 'x-user': 'ann' }, { agent });
  assert.equal(await by(), 'laptop');
  await isAway();
  const first = by();
  await ask(world.routePort); // it is with the agent
  await session.back();
  assert.equal(await first, 'laptop');
  await isAway();
  const second = by();
  const late = new Promise((resolve) => setTimeout(() => resolve('waits'), 15_000));
  const how = await Promise.race([second, late]);
  await session.back();
  await second;
  agent.destroy();
  await world.close();
  assert.equal(how, 'app');
});
