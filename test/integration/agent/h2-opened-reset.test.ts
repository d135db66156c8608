import assert from 'node:assert/strict';
import { connect } from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { h2Server } from './support/h2-server.ts';
import { withHeader } from './support/http.ts';

test('h2: a process that takes a connection and resets it at once is as one that refuses', async () => {
  const world = await startWorld(h2Server('app'));
  let resets = 0;
  const laptop = h2Server('ann');
  const session = await world.dial({
    onIncoming: (stream) => {
      if (resets > 0) {
        stream.accept();
        laptop(stream);
        return;
      }
      resets += 1;
      // Behind something that is being written OPENED and RESET leave together, two messages in one TLS record, as they also
      // do out of the API server's copying loop: the agent reads both in one turn.
      session.mux.sendControl({ type: 'event', event: 'draining' });
      const steps = [() => stream.accept(), () => {}, () => stream.resetAndDestroy()];
      const step = (): void => {
        steps.shift()?.();
        if (steps.length > 0) process.nextTick(step);
      };
      process.nextTick(() => process.nextTick(step));
    },
  });
  await session.request(
    'claim',
    claimOf([intercept(world.appPort, { filter: withHeader('x-user', 'ann'), to: 'laptop' })]),
  );
  await turn();
  const caller = connect(`http://127.0.0.1:${world.routePort}`);
  const call = (): Promise<string> =>
    new Promise((resolve) => {
      const stream = caller.request({ ':path': '/', 'x-user': 'ann' });
      stream.on('response', (headers) => resolve(`${headers[':status']} ${headers.by}`));
      stream.on('error', () => {});
      stream.on('close', () => resolve(`closed ${stream.rstCode}`));
      stream.resume();
      setTimeout(() => resolve('never'), 15_000).unref();
    });
  const first = await call();
  const second = await call();
  caller.destroy();
  assert.equal(resets, 1);
  assert.deepEqual([first, second], ['200 app', '200 ann']);
  const { intercepts } = await session.request('status', {});
  assert.equal(intercepts[0]?.open, 0);
  await world.close();
});
