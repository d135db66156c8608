import assert from 'node:assert/strict';
import { afterEach, test } from 'vitest';
import { MAX_REPLAY_BYTES } from '../../../src/http/h1/limits.ts';
import type { Answerer } from '../../../src/http/routing.ts';
import { get, H1Stage, OK } from './h1-stage.ts';
import { answersIn, Caller, httpUpstream, rawUpstream } from './h1-upstreams.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

const DEV = 'X-User: dev\r\n';

/** Refuses after `release`. */
function refusing(id: string, fallback: Answerer['fallback'], release: Promise<void> = Promise.resolve()): Answerer {
  return {
    id,
    fallback,
    requestFields: [['x-wrong', 'field']],
    responseFields: [],
    connect: () => release.then(() => Promise.reject(new Error('the process is away'))),
    began: () => assert.fail('nothing was sent there'),
  };
}

test('who cannot be reached is passed over, down the chain of fallbacks, with the whole request', async () => {
  const server = await rawUpstream((socket) => socket.on('data', () => socket.write(OK)));
  const { scene, caller } = await stage.worldOf(server, {
    choose: (_head, { app }) => refusing('a', refusing('b', app)),
  });
  caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
  await caller.untilHas('ok');
  assert.equal(server.received(), 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
  assert.deepEqual(scene.begun, ['app']);
});

test('with nobody to fall back to the caller gets 503 with the reason, and may go on', async () => {
  const server = await rawUpstream((socket) => socket.on('data', () => socket.write(OK)));
  const { caller } = await stage.worldOf(server, {
    choose: (head, { app }) => (head.path === '/' ? refusing('laptop', undefined) : app),
  });
  caller.send(get('/') + get('/next'));
  const text = await caller.untilHas('ok');
  assert.match(text, /^HTTP\/1\.1 503 [\s\S]*503 Service Unavailable: the process is away\n/);
});

test('an app that cannot be reached is a reset, as without the router', async () => {
  const server = await rawUpstream(() => {});
  const { scene, caller } = await stage.worldOf(server, { choose: () => refusing('app', undefined) });
  caller.send(get('/'));
  await caller.closed;
  assert.equal(caller.error?.code, 'ECONNRESET');
  await scene.idle();
});

test('while it is not certain who answers no more than a bounded part of the body is read, and none of it is lost', async () => {
  const size = 8 * 1024 * 1024;
  const release = deferred();
  const server = await httpUpstream((request, response) => {
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    request.on('end', () => response.end(`got ${bytes}`));
  });
  const { scene, caller } = await stage.worldOf(server, {
    choose: (_head, { app }) => refusing('laptop', app, release.promise),
  });
  caller.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  caller.socket.write(Buffer.alloc(size));
  const [onRouter] = await until(() => [...scene.callers].filter((socket) => socket.isPaused()));
  assert.ok(onRouter !== undefined && onRouter.bytesRead < MAX_REPLAY_BYTES + 512 * 1024, `${onRouter?.bytesRead}`);
  release.resolve();
  await caller.untilHas(`got ${size}`);
});

test('a caller that leaves while nobody answers yet ends the dialling', async () => {
  const aborted = deferred();
  const server = await rawUpstream(() => {});
  const { scene, caller } = await stage.worldOf(server, {
    choose: (_head, { app }) => ({
      ...app,
      connect: (signal) =>
        new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            aborted.resolve();
            reject(new Error('aborted'));
          }),
        ),
    }),
  });
  caller.send(get('/'));
  await until(() => scene.decided);
  caller.socket.resetAndDestroy();
  await aborted.promise;
  await scene.idle();
});

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

/** What `find` finds, once there is some of it. */
async function until<T>(find: () => T[]): Promise<T[]> {
  for (;;) {
    const found = find();
    if (found.length > 0) return found;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
