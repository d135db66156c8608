import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { frame, headersFrames, PREFACE, SETTINGS } from '../../../src/http/h2/frames.ts';
import { type Answer, answerOf, ask, eventually, named, World } from './h2-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR } = http2.constants;

test('a caller that cancels one request has it cancelled at who answers, and no other', async () => {
  const codes: number[] = [];
  const app = await world.serve((stream, headers) => {
    stream.on('close', () => codes.push(stream.rstCode));
    stream.respond({ ':status': 200 });
    stream.write('begun');
    if (headers[':path'] === '/short') stream.end();
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const request = client.request({ ':path': '/long' });
  await new Promise((resolve) => request.once('data', resolve));
  request.close(NGHTTP2_CANCEL);
  await eventually(() => codes.length === 1);
  assert.deepEqual(codes, [NGHTTP2_CANCEL]);
  assert.equal((await ask(client, { ':path': '/short' })).body, 'begun');
  await eventually(() => world.open.get('app') === 0);
});

test('a caller that goes has all its requests cancelled, and every connection for it closed', async () => {
  let cancelled = 0;
  const app = await world.serve((stream) => {
    stream.on('aborted', () => {
      cancelled += 1;
    });
    stream.respond({ ':status': 200 });
    stream.write('begun');
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const requests = Array.from({ length: 10 }, () => client.request({}));
  for (const request of requests) request.on('error', () => {});
  await Promise.all(requests.map((request) => new Promise((resolve) => request.once('data', resolve))));
  for (const caller of world.callers) caller.resetAndDestroy();
  await eventually(() => cancelled === 10 && app.sessions.size === 0);
  await eventually(() => world.routers === 0 && world.open.get('app') === 0);
  await eventually(() => world.dialled.get('app')?.every(({ closed }) => closed) === true);
});

for (const [name, code] of Object.entries({ NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM })) {
  test(`a reset by who answers keeps its code: ${name}, before and behind the head`, async () => {
    const app = await world.serve((stream, headers) => {
      if (headers[':path'] === '/before') {
        stream.close(code);
        return;
      }
      // Without waiting for trailers Node would send END_STREAM in front of the reset.
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.write('begun', () => setImmediate(() => stream.close(code)));
    });
    const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
    const client = world.client(port);
    const before = await ask(client, { ':path': '/before' });
    assert.deepEqual([before.status, before.rstCode], [0, code]);
    const behind = await ask(client, { ':path': '/behind', ':method': 'POST' }, 'x');
    assert.deepEqual([behind.status, behind.rstCode], [200, code]);
  });
}

test('an answer that is whole before the request is reaches the caller whole', async () => {
  const app = await world.serve((stream) => {
    stream.respond({ ':status': 413 });
    stream.end('too much', () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const request = world.client(port).request({ ':method': 'POST' });
  request.write('a');
  const answer = await answerOf(request);
  assert.deepEqual([answer.status, answer.body, answer.rstCode], [413, 'too much', 0]);
  await eventually(() => world.open.get('app') === 0);
});

test('after a GOAWAY open requests finish and the next ones get a new connection', async () => {
  const finish: (() => void)[] = [];
  const app = await world.serve((stream, headers) => {
    if (headers[':path'] === '/slow') {
      stream.respond({ ':status': 200 });
      stream.write('a');
      finish.push(() => stream.end('b'));
    } else named('app')(stream);
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const slow = client.request({ ':path': '/slow' });
  const answer = answerOf(slow);
  await new Promise((resolve) => slow.once('data', resolve));
  for (const session of app.sessions) session.close();
  await eventually(() => world.dialled.get('app')?.length === 1);
  const next = await ask(client, { ':path': '/next' });
  assert.equal(next.headers['x-by'], 'app');
  for (const end of finish) end();
  assert.deepEqual([(await answer).body, (await answer).rstCode], ['ab', 0]);
  assert.equal(world.dialled.get('app')?.length, 2);
  await eventually(() => world.dialled.get('app')?.[0]?.closed === true);
});

test('a connection that is cut: 502 before the head, a reset behind it, and the next request gets a new one', async () => {
  const app = await world.serve((stream, headers) => {
    if (headers[':path'] === '/begun') {
      stream.respond({ ':status': 200 });
      stream.write('begun');
    } else if (headers[':path'] === '/next') named('app')(stream);
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const begun = client.request({ ':path': '/begun' });
  const grpc = { 'content-type': 'application/grpc+proto', ':method': 'POST', ':path': '/never' };
  const answers = [answerOf(begun), ask(client, { ':path': '/never', ':method': 'POST' }, 'x'), ask(client, grpc, 'x')];
  await new Promise((resolve) => begun.once('data', resolve));
  await eventually(() => world.open.get('app') === 3);
  for (const socket of world.dialled.get('app') ?? []) socket.destroy();
  const [cut, lost, lostGrpc] = (await Promise.all(answers)) as [Answer, Answer, Answer];
  assert.deepEqual([cut.status, cut.rstCode], [200, NGHTTP2_INTERNAL_ERROR]);
  assert.equal(lost.status, 502);
  assert.match(lost.body, /connection was lost/);
  assert.deepEqual([lostGrpc.status, lostGrpc.headers['grpc-status'], lostGrpc.body], [200, '14', '']);
  assert.match(String(lostGrpc.headers['grpc-message']), /connection was lost/);
  assert.equal((await ask(client, { ':path': '/next' })).status, 200);
  assert.equal(world.dialled.get('app')?.length, 2);
});

test('draining sends a GOAWAY and lets open requests finish', async () => {
  const finish: (() => void)[] = [];
  const app = await world.serve((stream) => {
    stream.respond({ ':status': 200 });
    stream.write('a');
    finish.push(() => stream.end('b'));
  });
  const drain = new AbortController();
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }), { draining: drain.signal });
  const client = world.client(port);
  const request = client.request({});
  const answer = answerOf(request);
  await new Promise((resolve) => request.once('data', resolve));
  const goaway = new Promise((resolve) => client.once('goaway', resolve));
  drain.abort();
  assert.equal(await goaway, 0);
  for (const end of finish) end();
  assert.equal((await answer).body, 'ab');
  await eventually(() => world.routers === 0);
});

test('an app that ends its connection without a GOAWAY is gone for the requests on it', async () => {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    socket.resume();
  });
  const appPort = await world.listen(server);
  const port = await world.route(() => ({ answerer: world.answerer('app', appPort) }));
  const answer = ask(world.client(port), { ':method': 'POST' }, 'x');
  await eventually(() => world.open.get('app') === 1 && sockets.length === 1);
  for (const socket of sockets) socket.end();
  assert.equal((await answer).status, 502);
  await eventually(() => world.dialled.get('app')?.every(({ closed }) => closed) === true);
});

test('a caller that ends its connection without a GOAWAY is gone: its requests are cancelled', async () => {
  let aborted = 0;
  const app = await world.serve((stream) => {
    stream.on('aborted', () => {
      aborted += 1;
    });
    stream.respond({ ':status': 200 });
    stream.write('begun');
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const caller = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const fields = { ':method': 'GET', ':scheme': 'http', ':authority': 'a', ':path': '/' };
  caller.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, Buffer.alloc(0))]));
  caller.write(headersFrames(1, Object.entries(fields)));
  caller.on('error', () => {});
  caller.resume();
  await eventually(() => world.open.get('app') === 1 && app.sessions.size === 1);
  caller.end();
  await once(caller, 'close');
  await eventually(() => aborted === 1 && world.routers === 0 && app.sessions.size === 0);
  assert.equal(world.open.get('app'), 0);
});
