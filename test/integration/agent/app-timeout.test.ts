import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { withHeader } from './support/http.ts';
import { dial, readAll } from './support/tcp.ts';

test('a request for an app that takes no connection is given up when the connection is', async () => {
  // An app that stands still, its queue of connections full: the kernel drops SYNs.
  const child = spawn(process.execPath, [
    '-e',
    `const s = require('net').createServer(); s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port));`,
  ]);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  child.kill('SIGSTOP');
  const fill = Array.from({ length: 6 }, () => connect(port, '127.0.0.1').on('error', () => {}));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const world = await startWorld(undefined, { moreRoutes: [{ port: 0, appPort: port, protocol: 'tcp' }] });
  try {
    const session = await world.dial();
    await session.request('claim', claimOf([intercept(port, { filter: withHeader('x-user', 'ann'), to: 'laptop' })]));
    const caller = await dial(world.agent.routePort(port));
    const outcome = readAll(caller);
    caller.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const late = new Promise((resolve) => setTimeout(() => resolve('never'), 60_000));
    const how = await Promise.race([outcome.then((ended) => ended.how), late]);
    caller.destroy();
    assert.equal(how, 'reset');
  } finally {
    for (const socket of fill) socket.destroy();
    child.kill('SIGKILL');
    await world.close();
  }
}, 90_000);
