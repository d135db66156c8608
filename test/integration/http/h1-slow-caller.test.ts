import assert from 'node:assert/strict';
import { afterEach, test } from 'vitest';
import { get, H1Stage } from './h1-stage.ts';
import { rawUpstream } from './h1-upstreams.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

const SIZE = 1_500_000;

test.each([
  ['a caller that said close', `Connection: close\r\n`, ''],
  ['an answerer that said close', '', 'Connection: close\r\n'],
])('an answer that ends the connection reaches a slow caller whole: %s', async (_what, asked, answered) => {
  const server = await rawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\n${answered}\r\n`);
      socket.write(Buffer.alloc(SIZE, 'x'));
    });
  });
  const { scene, caller } = await stage.worldOf(server);
  caller.send(get('/', asked));
  await caller.untilHas('HTTP/1.1 200');
  caller.socket.pause();
  await new Promise((resolve) => setTimeout(resolve, 7_000)); // busy with what it has
  caller.socket.resume();
  const text = await caller
    .untilEnd()
    .catch((failure: Error) => `${failure.message.slice(0, 60)} (${caller.text.length} bytes)`);
  assert.equal(text.length - text.indexOf('\r\n\r\n') - 4, SIZE, text.slice(0, 200));
  await scene.idle();
});

test('a caller that never reads is let go all the same', async () => {
  const server = await rawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${SIZE}\r\nConnection: close\r\n\r\n`);
      socket.write(Buffer.alloc(SIZE, 'x'));
    });
  });
  const { scene, caller } = await stage.worldOf(server);
  caller.send(get('/'));
  await caller.untilHas('HTTP/1.1 200');
  caller.socket.pause();
  await scene.idle();
});
