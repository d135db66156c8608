import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { afterEach, test } from 'vitest';
import { get, H1Stage } from './h1-stage.ts';
import { answering, answersIn, Caller, rawUpstream } from './h1-upstreams.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

const DEV = 'X-User: dev\r\n';

test('answers without a body leave the connection for the next: HEAD, 204, 304', async () => {
  const { scene } = await stage.worldOf(
    await rawUpstream((socket) =>
      socket.on('data', (chunk: Buffer) => {
        const status = /^GET \/(\d+)/.exec(chunk.toString())?.[1] ?? '200';
        socket.write(`HTTP/1.1 ${status} x\r\nContent-Length: 1000\r\n\r\n`);
      }),
    ),
  );
  const caller = await Caller.open(scene.port);
  for (const line of ['HEAD /', 'GET /304', 'GET /204', 'HEAD /']) {
    const before = answersIn(caller.text);
    caller.send(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await caller.until((text) => answersIn(text) === before + 1);
  }
  assert.deepEqual(scene.dialed, ['app']);
});

test('an answer until close ends the connection of the caller, too', async () => {
  const app = await rawUpstream((socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nall there is')),
  );
  const { scene, caller } = await stage.worldOf(app);
  caller.send(get('/') + get('/never'));
  assert.equal(await caller.untilEnd(), 'HTTP/1.1 200 OK\r\n\r\nall there is');
  await scene.idle();
  assert.equal(scene.decided.length, 1);
});

for (const [name, fields, answer] of [
  ['the caller asked for it', 'Connection: close\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['the answerer says so', '', 'HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok'],
  ['the answerer speaks HTTP/1.0', '', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
] as const) {
  test(`the connection ends behind the answer when ${name}`, async () => {
    const { scene, caller } = await stage.worldOf(await answering(answer));
    caller.send(get('/', fields) + get('/never'));
    assert.equal(await caller.untilEnd(), answer);
    await scene.idle();
    assert.equal(scene.decided.length, 1);
  });
}

test('HTTP/1.0: one request a connection, or as many as both keep alive', async () => {
  const { scene } = await stage.echoWorld();
  const once = await Caller.open(scene.port);
  once.send('GET /a HTTP/1.0\r\n\r\n');
  assert.match(await once.untilEnd(), /app GET \/a 0/);
  const kept = await Caller.open(scene.port);
  kept.send('GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
  await kept.untilHas('/b');
  kept.send('GET /c HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n');
  await kept.untilHas('/c');
});

test('a caller that ends its side gets its answer, and the answerer sees the end', async () => {
  let ends = 0;
  const app = await rawUpstream((socket) => {
    socket.on('end', () => {
      ends += 1;
      socket.end('HTTP/1.1 200 OK\r\n\r\nanswer');
    });
  });
  const { scene, caller } = await stage.worldOf(app);
  caller.send(get('/'));
  caller.socket.end();
  assert.match(await caller.untilEnd(), /answer$/);
  await scene.idle();
  assert.equal(ends, 1);
  assert.equal(scene.openCount, 0);
});

test('requests in front of the end are all answered', async () => {
  const { scene } = await stage.echoWorld();
  const caller = await Caller.open(scene.port);
  caller.send(get('/1', DEV) + get('/2') + get('/3', 'Connection: close\r\n'));
  caller.socket.end();
  await caller.closed;
  assert.match(caller.text, /laptop GET \/1 [\s\S]*app GET \/2 [\s\S]*app GET \/3 /);
  await scene.idle();
});

test('a request that the end cuts in its head is refused behind those before it; one cut in its body is cut for the app', async () => {
  const { scene, app } = await stage.echoWorld();
  const inHead = await Caller.open(scene.port);
  inHead.send(`${get('/1')}GET /2 HTTP/1.1\r\nHo`);
  inHead.socket.end();
  await inHead.closed;
  assert.match(inHead.text, /app GET \/1 [\s\S]*400 Bad Request: the request ends in its head\n$/);
  const inBody = await Caller.open(scene.port);
  inBody.send('POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel');
  inBody.socket.end();
  await inBody.closed;
  await scene.idle();
  assert.match(app.received(), /\r\n\r\nhel$/);
  assert.equal(scene.openCount, 0);
});

test('2,000 requests through a keep-alive agent: right answers, and no connection or listener too many', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => {
    warnings.push(warning);
  };
  process.on('warning', onWarning);
  const { scene, app, laptop } = await stage.echoWorld();
  const { Agent } = await import('node:http');
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const one = (at: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const isDev = at % 3 === 0;
      const body = at % 5 === 0 ? 'x'.repeat(at) : '';
      const headers = { ...(isDev ? { 'x-user': 'dev' } : {}), 'content-length': body.length };
      const options = { port: scene.port, host: '127.0.0.1', path: `/${at}`, method: 'POST', agent, headers };
      httpRequest(options, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          if (text === `${isDev ? 'laptop' : 'app'} POST /${at} ${body.length}`) resolve();
          else reject(new Error(`${at}: ${text}`));
        });
      })
        .on('error', reject)
        .end(body);
    });
  await Promise.all(Array.from({ length: 2000 }, (_, at) => one(at)));
  assert.ok(app.connections <= 4 && laptop.connections <= 4);
  agent.destroy();
  await scene.idle();
  assert.equal(scene.openCount, 0);
  process.off('warning', onWarning);
  assert.deepEqual(warnings, []);
});
