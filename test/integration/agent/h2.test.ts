import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, createServer } from 'node:http2';
import type { Duplex } from 'node:stream';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf, intercept } from './support/claims.ts';
import { answeredBy, httpApp, httpProcess, seeingServer, withHeader } from './support/http.ts';
import { acceptWith } from './support/session-double.ts';

/** An HTTP/2 server in clear text on the connections it is given: answers with its name and what was sent. */
function h2Server(by: string): (connection: Duplex) => void {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      stream.respond(
        { ':status': 200, by, 'x-got-by': String(headers['x-intercept-by'] ?? '') },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.concat(chunks));
    });
  });
  return (connection) => {
    server.emit('connection', connection);
  };
}

interface Answer {
  readonly by: string;
  readonly gotBy: string;
  readonly body: string;
  readonly grpcStatus: string;
}

function call(session: ClientHttp2Session, user: string, body: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': '/x.Y/Z', 'x-user': user });
    let text = '';
    let head: Record<string, unknown> = {};
    let trailers: Record<string, unknown> = {};
    stream.on('response', (headers) => {
      head = headers;
    });
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    stream.on('error', reject);
    stream.on('end', () =>
      resolve({
        by: String(head.by),
        gotBy: String(head['x-got-by']),
        body: text,
        grpcStatus: String(trailers['grpc-status']),
      }),
    );
    stream.end(body);
  });
}

test('streams of one HTTP/2 connection go each to who has its key, with trailers', async () => {
  const world = await startWorld(h2Server('app'));
  for (const user of ['ann', 'bob', 'eve']) {
    const session = await world.dial({ user, onIncoming: acceptWith(h2Server(user)) });
    const filter = withHeader('x-user', user);
    await session.request('claim', claimOf([intercept(world.appPort, { filter, to: 'laptop' })]));
  }
  const client = connect(`http://127.0.0.1:${world.routePort}`);
  const users = ['ann', 'bob', 'eve', 'nobody'];
  const answers = await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      const user = users[n % 4] ?? '';
      return { user, n, answer: await call(client, user, `body ${n}`) };
    }),
  );
  for (const { user, n, answer } of answers) {
    const isApp = user === 'nobody';
    const expected = {
      by: isApp ? 'app' : user,
      gotBy: isApp ? '' : `${user}@desk`,
      body: `body ${n}`,
      grpcStatus: '0',
    };
    assert.deepEqual(answer, expected);
  }
  client.close();
  await world.close();
});

test('an HTTP/2 connection goes on when filters come and go', async () => {
  const world = await startWorld(h2Server('app'));
  const keeper = await world.dial({ user: 'eve' });
  const eve = intercept(world.appPort, { filter: withHeader('x-user', 'eve'), to: 'laptop' });
  await keeper.request('claim', claimOf([eve]));
  const client = connect(`http://127.0.0.1:${world.routePort}`);
  assert.equal((await call(client, 'ann', '1')).by, 'app');
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(h2Server('ann')) });
  const filter = withHeader('x-user', 'ann');
  await session.request('claim', claimOf([intercept(world.appPort, { filter, to: 'laptop' })]));
  assert.equal((await call(client, 'ann', '2')).by, 'ann');
  await session.request('release', {});
  assert.equal((await call(client, 'ann', '3')).by, 'app');
  await keeper.request('release', {});
  assert.equal((await call(client, 'ann', '4')).by, 'app');
  client.close();
  await world.close();
});

test('an HTTP/2 client that was with the app before the first filter is asked to go, and finishes what it has begun', async () => {
  const world = await startWorld(h2Server('app'));
  const client = connect(`http://127.0.0.1:${world.routePort}`);
  assert.equal((await call(client, 'ann', '1')).by, 'app');
  const underWay = client.request({ ':method': 'POST', ':path': '/', 'x-user': 'ann' });
  underWay.write('begun ');
  const text = new Promise<string>((resolve) => {
    let all = '';
    underWay.setEncoding('utf8').on('data', (part: string) => {
      all += part;
    });
    underWay.on('end', () => resolve(all));
  });
  const asked = once(client, 'goaway');
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(h2Server('ann')) });
  const filter = withHeader('x-user', 'ann');
  await session.request('claim', claimOf([intercept(world.appPort, { filter, to: 'laptop' })]));
  const [code, lastStreamId] = await asked;
  assert.deepEqual([code, lastStreamId], [0, 2 ** 31 - 1]);
  const closed = once(client, 'close');
  underWay.end('and finished');
  assert.equal(await text, 'begun and finished');
  await closed;
  const next = connect(`http://127.0.0.1:${world.routePort}`);
  assert.equal((await call(next, 'ann', '2')).by, 'ann');
  next.close();
  await world.close();
});

test('an app is asked once a minute, not by every caller, whether it speaks HTTP/2 in clear text', async () => {
  const world = await startWorld(httpApp(seeingServer('app')));
  let connections = 0;
  world.app.server.on('connection', () => {
    connections += 1;
  });
  const session = await world.dial({ onIncoming: httpProcess(seeingServer('laptop')) });
  const filter = withHeader('x-user', 'ann');
  await session.request('claim', claimOf([intercept(world.appPort, { filter, to: 'laptop' })]));
  const upgrade = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' };
  const callers = 3;
  for (let n = 0; n < callers; n++) assert.equal(await answeredBy(world.routePort, upgrade), 'app');
  assert.equal(connections, callers + 1);
  await world.close();
});
