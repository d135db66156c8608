import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { afterEach, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { MAX_MIRROR_BYTES, type Mirror, type Resettable } from '../../../src/http/routing.ts';
import { dial } from './h1-scene.ts';
import { get, H1Stage, OK } from './h1-stage.ts';
import { answersIn, Caller, httpUpstream, rawUpstream } from './h1-upstreams.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}

test('ws clients and servers talk through it, and the exchange lasts as long as they do', async () => {
  const sockets = new WebSocketServer({ noServer: true });
  const server = await httpUpstream(
    () => {},
    (http) =>
      http.on('upgrade', (request, socket, head) =>
        sockets.handleUpgrade(request, socket, head, (each) => {
          each.on('message', (data, isBinary) => each.send(data, { binary: isBinary }));
        }),
      ),
  );
  const { scene, caller } = await stage.worldOf(server);
  caller.socket.destroy();
  const client = new WebSocket(`ws://127.0.0.1:${scene.port}/socket`, { headers: { 'x-user': 'dev' } });
  await once(client, 'open');
  const sent = Buffer.alloc(3 * 1024 * 1024, 'w');
  client.send(sent);
  const [received] = await once(client, 'message');
  assert.equal(hash(received), hash(sent));
  assert.equal(scene.openCount, 1);
  client.close(1000);
  await once(client, 'close');
  await scene.idle();
  assert.equal(scene.openCount, 0);
  assert.deepEqual(scene.begun, ['laptop']);
});

test('a tunnel keeps the ends of each side apart, and passes a reset on as a reset', async () => {
  const server = await rawUpstream((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nfirst');
      socket.on('data', (chunk: Buffer) => {
        if (chunk.includes('reset')) socket.resetAndDestroy();
      });
    });
    socket.on('end', () => socket.end('last'));
  });
  const { scene, caller } = await stage.worldOf(server);
  caller.send(get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n'));
  await caller.untilHas('first');
  caller.send('GET / HTTP/1.1\r\n\r\n'); // no request any more
  caller.socket.end();
  assert.match(await caller.untilEnd(), /firstlast$/);
  await scene.idle();
  assert.equal(scene.decided.length, 1);
  const other = await Caller.open(scene.port);
  other.send(get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n'));
  await other.untilHas('first');
  other.send('reset');
  await other.closed;
  assert.equal(other.error?.code, 'ECONNRESET');
  await scene.idle();
  assert.equal(scene.openCount, 0);
});

test('an upgrade that is not made is an answer like others', async () => {
  const { caller } = await stage.worldOf(await rawUpstream((socket) => socket.on('data', () => socket.write(OK))));
  caller.send(get('/', 'Connection: Upgrade\r\nUpgrade: x\r\n') + get('/next'));
  assert.equal(await caller.until((text) => answersIn(text) === 2), OK + OK);
});

test('CONNECT is a tunnel once it is answered with 2xx, else the last request', async () => {
  const server = await rawUpstream((socket) =>
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('CONNECT good')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n');
      else if (chunk.includes('CONNECT')) socket.write(OK.replace('200', '403'));
      else socket.end(`echo ${chunk}`);
    }),
  );
  const { scene, caller } = await stage.worldOf(server);
  caller.send('CONNECT good:80 HTTP/1.1\r\nHost: good\r\n\r\n');
  await caller.untilHas('\r\n\r\n');
  caller.send('bytes');
  assert.match(await caller.untilEnd(), /\r\n\r\necho bytes$/);
  const other = await Caller.open(scene.port);
  other.send(`CONNECT bad:80 HTTP/1.1\r\nHost: bad\r\n\r\n${get('/smuggled')}`);
  assert.match(await other.untilEnd(), /403/);
  assert.ok(!server.received().includes('smuggled'));
});

const H2C = 'Connection: Upgrade, HTTP2-Settings, X-Hop\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n';

test('what asks for h2c is left out where nobody can go on in HTTP/2', async () => {
  const server = await rawUpstream((socket) => socket.on('data', () => socket.write(OK)));
  const { caller } = await stage.worldOf(server, { onH2cUpgrade: () => Promise.resolve(undefined) });
  caller.send(get('/1', `X-A: 1\r\n${H2C}`));
  await caller.untilHas('ok');
  assert.equal(server.received(), get('/1', 'X-A: 1\r\nConnection: x-hop\r\n'));
  caller.send(get('/2', H2C.replace('h2c', 'h2c, websocket')));
  await caller.until((text) => answersIn(text) === 2);
  assert.match(server.received(), /Upgrade: websocket\r\nConnection: upgrade, x-hop\r\n\r\n$/);
});

test('who can go on in HTTP/2 gets the connection with what was read of it', async () => {
  const server = await rawUpstream(() => {});
  const { scene, caller } = await stage.worldOf(server, {
    onH2cUpgrade:
      async ({ head, settings }) =>
      async (taken, rest) => {
        taken.resume();
        taken.end(`${head.path} ${settings} ${rest}`);
        await new Promise((resolve) => taken.on('close', resolve));
      },
  });
  caller.send(`${get('/x', H2C)}PRI`);
  assert.equal(await caller.untilEnd(), '/x AAMAAABk PRI');
  await scene.idle();
  assert.equal(server.connections, 0);
});

/** A mirror to a port, with a connection made beforehand, as streams of a tunnel are there at once. */
async function mirrorTo(port: number): Promise<{ mirror: Mirror; dropped: () => number }> {
  const ready: Resettable[] = [await dial(port), await dial(port)];
  let dropped = 0;
  return {
    dropped: () => dropped,
    mirror: {
      id: 'm',
      open: () => ready.pop(),
      dropped: () => {
        dropped += 1;
      },
    },
  };
}

test('a mirror gets each request as it came, on a stream of its own; when there is none the copy is dropped', async () => {
  const copies = await rawUpstream((socket) => socket.on('end', () => socket.end('HTTP/1.1 500 Ignored\r\n\r\n')));
  stage.own(copies);
  const { mirror, dropped } = await mirrorTo(copies.port);
  const { caller } = await stage.worldOf(await rawUpstream((socket) => socket.on('data', () => socket.write(OK))), {
    mirrors: () => [mirror],
  });
  const post = `POST /1 HTTP/1.1\r\nHost: a\r\nX-User: dev\r\nContent-Length: 5\r\n\r\nhello`;
  caller.send(post + get('/2') + get('/3'));
  assert.equal(await caller.until((text) => answersIn(text) === 3), OK + OK + OK);
  await until(() => copies.received().length === post.length + get('/2').length);
  assert.equal(copies.connections, 2);
  assert.equal(dropped(), 1);
});

test('a mirror that does not read loses the copy and never holds the caller up', async () => {
  const server = await httpUpstream((request, response) => {
    request.resume();
    request.on('end', () => response.end('whole'));
  });
  const stuck = Object.assign(new PassThrough({ highWaterMark: 1 }), { resetAndDestroy: () => stuck.destroy() });
  let dropped = 0;
  const mirror: Mirror = {
    id: 'm',
    open: () => Object.assign(stuck, { resume: () => stuck }),
    dropped: () => {
      dropped += 1;
    },
  };
  const { caller } = await stage.worldOf(server, { mirrors: () => [mirror] });
  const size = 4 * MAX_MIRROR_BYTES;
  caller.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  caller.socket.write(Buffer.alloc(size));
  await caller.untilHas('whole');
  assert.equal(dropped, 1);
  assert.equal(stuck.destroyed, true);
});

test('a request that the caller cuts is a copy that is cut', async () => {
  const closed: (boolean | undefined)[] = [];
  const copies = await rawUpstream((socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => closed.push(error.code === 'ECONNRESET'));
  });
  stage.own(copies);
  const { mirror, dropped } = await mirrorTo(copies.port);
  const { caller } = await stage.worldOf(await rawUpstream(() => {}), { mirrors: () => [mirror] });
  caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nhello');
  await until(() => copies.received().endsWith('hello'));
  caller.socket.resetAndDestroy();
  await until(() => closed.length > 0);
  assert.deepEqual(closed, [true]);
  assert.equal(dropped(), 1);
});

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
