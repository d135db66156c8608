import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http2 from 'node:http2';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { frame, headersFrames, PREFACE, SETTINGS } from '../../../src/http/h2/frames.ts';
import type { RequestHead } from '../../../src/http/routing.ts';
import { type Answer, answerOf, ask, eventually, World } from './h2-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR } = http2.constants;

/** Answers with its name, and the body it got. */
const named = (name: string) => (stream: http2.ServerHttp2Stream) => {
  let body = '';
  stream.on('data', (chunk) => {
    body += chunk;
  });
  stream.on('end', () => {
    if (stream.closed) return;
    stream.respond({ ':status': 200, 'x-by': name });
    stream.end(body);
  });
};

/** A port whose requests with `x-user: dev` go to the process, all others to the app. */
async function twoAnswerers(): Promise<{ port: number }> {
  const app = await world.serve(named('app'));
  const process = await world.serve(named('process'));
  const [toApp, toProcess] = [world.answerer('app', app.port), world.answerer('dev', process.port)];
  const port = await world.route((head) => ({ answerer: head.header('x-user') === 'dev' ? toProcess : toApp }));
  return { port };
}

test('every request of one connection is decided on its own, over one connection per answerer', async () => {
  const { port } = await twoAnswerers();
  const client = world.client(port);
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => ask(client, { ':path': '/', 'x-user': n % 2 ? 'dev' : 'other' }, `body ${n}`)),
  );
  assert.deepEqual(
    answers.map(({ headers, body }) => `${headers['x-by']} ${body}`),
    answers.map((_, n) => `${n % 2 ? 'process' : 'app'} body ${n}`),
  );
  assert.deepEqual([world.dialled.get('app')?.length, world.dialled.get('dev')?.length], [1, 1]);
  assert.deepEqual(Object.fromEntries(world.open), { app: 0, dev: 0 });
});

test('filters see the method, path, query, authority and fields as they were sent', async () => {
  const app = await world.serve(named('app'));
  const seen: unknown[] = [];
  const port = await world.route((head: RequestHead) => {
    const { method, path, query, authority } = head;
    seen.push({ method, path, query, authority, cookie: head.header('cookie'), x: head.header('x-a') });
    seen.push([head.count('x-a'), head.count('x-none'), head.header('x-none')]);
    return { answerer: world.answerer('app', app.port) };
  });
  await ask(world.client(port), {
    ':method': 'DELETE',
    ':path': '/a//b/..?q=1&q=%20?',
    ':authority': 'Shop:80',
    cookie: ['a=1', 'b=2'],
    'x-a': ['1', '2'],
  });
  assert.deepEqual(seen, [
    { method: 'DELETE', path: '/a//b/..', query: 'q=1&q=%20?', authority: 'Shop:80', cookie: 'a=1; b=2', x: '1, 2' },
    [2, 0, undefined],
  ]);
});

test('fields arrive with their duplicates, order and never-indexed mark, those of the router behind them', async () => {
  let got: string[] = [];
  let sensitive: unknown;
  const app = await world.serve((stream, headers, raw) => {
    got = raw;
    sensitive = Reflect.get(headers, http2.sensitiveHeaders);
    stream.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'x-z': '1', date: 'then' });
    stream.end();
  });
  const port = await world.route(() => ({
    answerer: world.answerer('app', app.port, {
      requestFields: [['X-Intercept-By', 'me@here']],
      responseFields: [['x-intercept-by', 'me@here']],
    }),
  }));
  const { raw } = await ask(world.client(port), {
    'x-b': '2',
    'x-a': ['1', '2'],
    cookie: ['a=1', 'b=2'],
    te: 'trailers',
    'x-secret': 'caf\u00e9',
    'x-intercept-by': 'other@there',
    [http2.sensitiveHeaders]: ['x-secret'],
  });
  const fields = got.flatMap((name, at) => (at % 2 === 0 && !name.startsWith(':') ? [`${name}: ${got[at + 1]}`] : []));
  assert.deepEqual(fields, [
    'x-b: 2',
    'x-a: 1',
    'x-a: 2',
    'cookie: a=1',
    'cookie: b=2',
    'te: trailers',
    'x-secret: caf\u00e9',
    'x-intercept-by: other@there',
    'x-intercept-by: me@here',
  ]);
  assert.ok(
    Array.isArray(sensitive) && sensitive.includes('x-secret') && !sensitive.includes('x-b'),
    String(sensitive),
  );
  assert.deepEqual(raw, [
    ...[':status', '200', 'set-cookie', 'a=1', 'set-cookie', 'b=2', 'x-z', '1', 'date', 'then'],
    ...['x-intercept-by', 'me@here'],
  ]);
});

test('a request that names two hosts is refused, one that names the same twice is not', async () => {
  const app = await world.serve(named('app'));
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const differ = await ask(client, { ':authority': 'a', host: 'b' });
  assert.deepEqual([differ.status, differ.body], [400, '400: Host and :authority differ\n']);
  assert.equal((await ask(client, { ':authority': 'a', host: 'A' })).status, 200);
  assert.equal(world.dialled.get('app')?.length, 1);
});

test('interim answers and trailers pass in both directions', async () => {
  let trailers: http2.IncomingHttpHeaders | undefined;
  const app = await world.serve((stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
    stream.on('trailers', (got) => {
      trailers = got;
    });
    stream.on('data', () => {});
    stream.on('end', () => {
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-t': ['1', '2'] }));
      stream.end('body');
    });
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const request = world.client(port).request({ ':method': 'POST' }, { waitForTrailers: true });
  request.on('wantTrailers', () => request.sendTrailers({ 'x-sum': 'abc' }));
  request.end('hello');
  const answer = await answerOf(request);
  assert.deepEqual(
    answer.informed.map((head) => [head[':status'], head.link]),
    [[103, '</a.css>; rel=preload']],
  );
  assert.deepEqual([answer.body, answer.trailers?.['grpc-status'], answer.trailers?.['x-t']], ['body', '0', '1, 2']);
  assert.equal(trailers?.['x-sum'], 'abc');
});

test('a head that ends its stream arrives as one, either way', async () => {
  const seen: boolean[] = [];
  const app = await world.serve((stream, headers) => {
    seen.push(stream.endAfterHeaders);
    if (headers[':path'] === '/late') {
      stream.respond({ ':status': 200, 'content-length': '5' });
      stream.end();
    } else stream.respond({ ':status': 204 }, { endStream: true });
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const flagsOf = async (headers: http2.OutgoingHttpHeaders): Promise<number> => {
    const request = client.request(headers, { endStream: true });
    const flags = new Promise<number>((resolve) => request.on('response', (_headers, got) => resolve(got)));
    await answerOf(request);
    return await flags;
  };
  assert.equal((await flagsOf({})) & http2.constants.NGHTTP2_FLAG_END_STREAM, 1);
  assert.equal((await flagsOf({ ':method': 'HEAD', ':path': '/late' })) & http2.constants.NGHTTP2_FLAG_END_STREAM, 1);
  assert.deepEqual(seen, [true, true]);
});

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

test('who cannot be connected is answered for by the fallback, or by a refusal that says why', async () => {
  const app = await world.serve(named('app'));
  const toApp = world.answerer('app', app.port);
  const away = (): Promise<never> => Promise.reject(new Error('the laptop is asleep'));
  const port = await world.route((head) => ({
    answerer: world.answerer('dev', 1, {
      connect: away,
      fallback: head.path === '/app' ? toApp : { status: 503, reason: 'nobody is there' },
    }),
  }));
  const client = world.client(port);
  const answer = await ask(client, { ':path': '/app', ':method': 'POST' }, 'kept');
  assert.deepEqual([answer.headers['x-by'], answer.body], ['app', 'kept']);
  const refused = await ask(client, { ':path': '/none', ':method': 'POST' }, 'x');
  assert.deepEqual([refused.status, refused.body], [503, '503: nobody is there\n']);
  const grpc = await ask(client, { ':path': '/none', 'content-type': 'application/grpc' }, 'x');
  assert.deepEqual(
    [grpc.status, grpc.headers['grpc-status'], grpc.headers['grpc-message']],
    [200, '14', 'nobody is there'],
  );
});

test('a refusal is answered without anybody being asked', async () => {
  const port = await world.route(() => ({ answerer: { status: 508, reason: 'goes round in a circle' } }));
  const answer = await ask(world.client(port), {});
  assert.deepEqual([answer.status, answer.body, answer.rstCode], [508, '508: goes round in a circle\n', 0]);
});

test('a mistake in deciding costs one request, not the connection', async () => {
  const app = await world.serve(named('app'));
  const port = await world.route((head) => {
    if (head.path === '/wrong') throw new Error('a mistake');
    return { answerer: world.answerer('app', app.port) };
  });
  const client = world.client(port);
  assert.equal((await ask(client, { ':path': '/wrong' })).rstCode, NGHTTP2_INTERNAL_ERROR);
  assert.equal((await ask(client, { ':path': '/right' })).status, 200);
});

test('a reader that stops holds its own request only, at about a window', async () => {
  const chunk = Buffer.alloc(64 * 1024);
  let sent = 0;
  const app = await world.serve((stream, headers) => {
    stream.respond({ ':status': 200 });
    if (headers[':path'] === '/small') {
      stream.end('small');
      return;
    }
    const more = (): void => {
      while (!stream.destroyed && sent < 64 * 1024 * 1024) {
        sent += chunk.byteLength;
        if (!stream.write(chunk)) {
          stream.once('drain', more);
          return;
        }
      }
    };
    more();
  });
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port) }));
  const client = world.client(port);
  const big = client.request({ ':path': '/big' });
  await new Promise((resolve) => big.once('response', resolve));
  let last = -1;
  while (last !== sent) {
    last = sent;
    for (let n = 0; n < 20; n += 1) assert.equal((await ask(client, { ':path': '/small' })).body, 'small');
  }
  assert.ok(sent < 4 * 1024 * 1024, `${sent} bytes`);
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
    socket.on('error', () => {});
    socket.write(frame(SETTINGS, 0, 0, Buffer.alloc(0)));
    socket.resume();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  world.onClose(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const appPort = (server.address() as AddressInfo).port;
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
