import assert from 'node:assert/strict';
import { afterEach, test } from 'vitest';
import { get, H1Stage } from './h1-stage.ts';
import { httpUpstream, rawUpstream } from './h1-upstreams.ts';
import { deferred, until } from './h1-waits.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

const DEV = 'X-User: dev\r\n';

for (const how of ['destroy', 'resetAndDestroy', 'end'] as const) {
  test(`a stream of events ends at its source when the caller leaves (${how})`, async () => {
    const closed = deferred();
    const server = await httpUpstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      response.on('close', () => closed.resolve());
    });
    const { scene, caller } = await stage.worldOf(server);
    caller.send(get('/events', DEV));
    await caller.untilHas('data: 1');
    caller.socket[how]();
    await closed.promise;
    await scene.idle();
    assert.equal(scene.openCount, 0);
  });
}

test('a caller that does not read holds its answerer back', async () => {
  const size = 64 * 1024 * 1024;
  let written = 0;
  const server = await rawUpstream((socket) => {
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      const more = (): void => {
        while (written < size) {
          written += 65_536;
          if (!socket.write(Buffer.alloc(65_536, 'x'))) return;
        }
      };
      socket.on('drain', more);
      more();
    });
  });
  const { scene, caller } = await stage.worldOf(server);
  caller.socket.pause();
  caller.send(get('/'));
  const [onRouter] = await until(() => [...scene.callers].filter((socket) => socket.writableNeedDrain));
  let before = -1;
  while (before !== written) {
    before = written;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok((onRouter?.writableLength ?? 0) < 1024 * 1024);
  let bytes = 0;
  const all = deferred();
  caller.socket.removeAllListeners('data');
  caller.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes >= size) all.resolve();
  });
  caller.socket.resume();
  await all.promise;
});

test('a caller that sends many requests and does not read gets no further than what fits', async () => {
  const answer = `HTTP/1.1 200 OK\r\nContent-Length: 32768\r\n\r\n${'x'.repeat(32_768)}`;
  const server = await rawUpstream((socket) => socket.on('data', () => socket.write(answer)));
  const { scene, caller } = await stage.worldOf(server);
  caller.socket.pause();
  caller.send(get('/').repeat(1000));
  const [onRouter] = await until(() => [...scene.callers].filter((socket) => socket.writableNeedDrain));
  for (let before = -1; before !== scene.decided.length; ) {
    before = scene.decided.length;
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok((onRouter?.writableLength ?? 0) < 512 * 1024);
  assert.ok(scene.decided.length < 1000);
  caller.socket.resume();
  await caller.until((text) => text.length === 1000 * answer.length);
});
