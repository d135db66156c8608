import assert from 'node:assert/strict';
import { afterEach, test } from 'vitest';
import { get, H1Stage, OK } from './h1-stage.ts';
import { answersIn, Caller, rawUpstream } from './h1-upstreams.ts';
import { deferred, until } from './h1-waits.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

const DEV = 'X-User: dev\r\n';

test('a kept connection that died meanwhile is replaced: by itself when idle, by sending an idempotent request again', async () => {
  const server = await rawUpstream((socket, index) => {
    let count = 0;
    socket.on('data', () => {
      count += 1;
      if (count === 1) socket.write(OK);
      else if (index === 0)
        socket.resetAndDestroy(); // with the second request
      else socket.end(OK);
    });
  });
  const { scene, caller } = await stage.worldOf(server);
  for (let at = 1; at <= 4; at += 1) {
    caller.send(get(`/${at}`));
    await caller.until((text) => answersIn(text) === at);
  }
  assert.ok(server.connections >= 2);
  assert.equal(scene.openCount, 0);
  assert.equal(scene.begun.length, 4); // one each, though one of them was sent twice
});

for (const [id, fields] of [
  ['app', ''],
  ['laptop', DEV],
] as const) {
  test(`a POST on a kept connection that dies is not sent again: ${id}`, async () => {
    const server = await rawUpstream((socket) => {
      socket.once('data', () => {
        socket.write(OK);
        socket.once('data', () => socket.resetAndDestroy());
      });
    });
    const { caller } = await stage.worldOf(server);
    caller.send(get('/', fields));
    await caller.untilHas('ok');
    caller.send(`POST / HTTP/1.1\r\nHost: a\r\n${fields}Content-Length: 2\r\n\r\nhi`);
    if (id === 'laptop') await caller.untilHas('502 Bad Gateway');
    else {
      await caller.closed;
      assert.equal(caller.error?.code, 'ECONNRESET');
    }
    assert.equal(server.received().split('POST').length, 2);
  });

  test(`a new connection that dies before it answers: ${id === 'app' ? 'the caller is reset' : '502'}`, async () => {
    const server = await rawUpstream((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const { scene, caller } = await stage.worldOf(server);
    caller.send(get('/', fields));
    if (id === 'laptop') await caller.untilHas('502 Bad Gateway');
    else {
      await caller.closed;
      assert.equal(caller.error?.code, 'ECONNRESET');
    }
    assert.equal(server.connections, 1);
    caller.socket.destroy();
    await scene.idle();
    assert.equal(scene.openCount, 0);
  });
}

test('an app that ends its connection without an answer is an end for the caller', async () => {
  const server = await rawUpstream((socket) => socket.once('data', () => socket.end()));
  const { caller } = await stage.worldOf(server);
  caller.send(get('/'));
  assert.equal(await caller.untilEnd(), '');
  await caller.closed;
  assert.equal(caller.error, undefined);
});

for (const how of ['end', 'resetAndDestroy'] as const) {
  test(`an answer that is cut short (${how}) is a reset for the caller, never an answer that looks whole`, async () => {
    const server = await rawUpstream((socket) =>
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart', () => socket[how]());
      }),
    );
    const { scene, caller } = await stage.worldOf(server);
    caller.send(get('/', DEV));
    await caller.closed;
    assert.equal(caller.error?.code, 'ECONNRESET');
    assert.equal(caller.ended, false);
    await scene.idle();
    assert.equal(scene.openCount, 0);
  });
}

for (const [name, answer] of [
  ['CL and TE', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 1\n\na'],
  ['101 that nobody asked for', 'HTTP/1.1 101 Go\r\n\r\n'],
  ['no HTTP', 'SSH-2.0-x\r\n\r\n'],
] as const) {
  test(`an answer that cannot be read is 502: ${name}`, async () => {
    const server = await rawUpstream((socket) => socket.once('data', () => socket.write(answer)));
    const { caller } = await stage.worldOf(server);
    caller.send(get('/'));
    assert.match(await caller.untilHas('cannot be read'), /^HTTP\/1\.1 502 /);
  });
}

test("bytes that nobody asked for behind an answer are nobody's answer", async () => {
  const server = await rawUpstream((socket, index) =>
    socket.on('data', () => socket.write(index === 0 ? `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil` : OK)),
  );
  const { caller } = await stage.worldOf(server);
  caller.send(get('/1') + get('/2'));
  const text = await caller.until((all) => answersIn(all) === 2);
  assert.equal(text, OK + OK);
  assert.equal(server.connections, 2);
});

test('an aborted router cuts caller and answerer', async () => {
  const own = new AbortController();
  const server = await rawUpstream((socket) => socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\n\r\nand')));
  const { scene, caller } = await stage.worldOf(server, { signal: own.signal });
  caller.send(get('/'));
  await caller.untilHas('and');
  const [onServer] = server.sockets;
  const cut = new Promise((resolve) => onServer?.on('close', resolve));
  own.abort(new Error('stop'));
  await Promise.all([caller.closed, cut, scene.idle()]);
  assert.equal(caller.error?.code, 'ECONNRESET');
  assert.equal(scene.openCount, 0);
});

test('a draining router finishes what is under way, says so, and ends idle connections', async () => {
  const draining = new AbortController();
  const release = deferred();
  const server = await rawUpstream((socket) => {
    socket.once('data', () => release.promise.then(() => socket.write(OK)));
    socket.on('end', () => socket.end());
  });
  const { scene, caller } = await stage.worldOf(server, { draining: draining.signal });
  const idle = await Caller.open(scene.port);
  await until(() => (scene.connectionCount === 2 ? [1] : []));
  caller.send(get('/'));
  await until(() => scene.begun);
  draining.abort();
  assert.equal(await idle.untilEnd(), '');
  release.resolve();
  assert.match(await caller.untilEnd(), /\r\nConnection: close\r\n\r\nok$/);
  await scene.idle();
});

test('routes that break end the connection and nothing else', async () => {
  const server = await rawUpstream((socket) => socket.on('data', () => socket.write(OK)));
  const { scene, caller } = await stage.worldOf(server, {
    choose: (head, { app }) => (head.path === '/broken' ? { ...app, began: () => assert.fail('broken') } : app),
  });
  caller.send(get('/broken'));
  await caller.closed;
  const next = await Caller.open(scene.port);
  next.send(get('/'));
  await next.untilHas('ok');
});
