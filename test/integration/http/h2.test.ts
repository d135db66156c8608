import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { afterEach, beforeEach, test } from 'vitest';
import type { RequestHead } from '../../../src/http/routing.ts';
import { answerOf, ask, named, World } from './h2-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

const { NGHTTP2_INTERNAL_ERROR } = http2.constants;

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
