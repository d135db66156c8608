import assert from 'node:assert/strict';
import { test } from 'vitest';
import { keepAlive, personal, startHttpWorld } from './support/filtered-world.ts';
import { ask } from './support/http.ts';

test('a caller that comes while the pod is being stopped is let go behind its answer, too', async () => {
  const world = await startHttpWorld({ drainLingerMs: 4_000 });
  await personal(world, 'ann');
  const drained = world.agent.drain();
  const agent = keepAlive();
  const { status } = await ask(world.routePort, { 'x-user': 'ann' }, { agent }); // a node's proxy has not heard yet
  assert.equal(status, 200);
  const late = new Promise((resolve) => setTimeout(() => resolve('never'), 30_000));
  const done = await Promise.race([drained.then(() => 'drained'), late]);
  agent.destroy();
  assert.equal(done, 'drained');
  await world.close();
});
