import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { afterEach, test } from 'vitest';
import type { Refusal } from '../../../src/http/routing.ts';
import { Scene, type SceneOptions } from './h1-scene.ts';
import { get, H1Stage } from './h1-stage.ts';
import { answersIn, Caller, httpUpstream, rawUpstream, type Upstream } from './h1-upstreams.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

/** Servers that say who they are and what they got, and a router before them. */
async function world(options: SceneOptions = {}): Promise<{ scene: Scene; app: Upstream; laptop: Upstream }> {
  const echo = (name: string) =>
    httpUpstream((request, response) => {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.byteLength;
      });
      request.on('end', () => {
        const text = `${name} ${request.method} ${request.url} ${bytes}`;
        response.setHeader('content-length', text.length); // or HTTP/1.0 is not kept alive
        response.end(text);
      });
    });
  const app = stage.own(await echo('app'));
  const laptop = stage.own(await echo('laptop'));
  return { app, laptop, scene: stage.own(await Scene.open({ app: app.port, laptop: laptop.port }, options)) };
}

/** A server that answers each connection's first bytes with these. */
function answering(...answers: string[]): Promise<Upstream> {
  return rawUpstream((socket) => {
    socket.once('data', () => socket.write(answers.join('')));
  });
}

const DEV = 'X-User: dev\r\n';

test('requests of one connection go to different answerers, each over one connection of its own', async () => {
  const { scene, app, laptop } = await world();
  const caller = await Caller.open(scene.port);
  for (let at = 0; at < 10; at += 1) {
    caller.send(get(`/${at}`, at % 2 === 0 ? DEV : ''));
    await caller.untilHas(`${at % 2 === 0 ? 'laptop' : 'app'} GET /${at} 0`);
  }
  assert.deepEqual([app.connections, laptop.connections], [1, 1]);
  assert.equal(scene.begun.length, 10);
  assert.equal(scene.openCount, 0);
});

test('requests sent all at once are answered one by one, in their order', async () => {
  const { scene } = await world();
  const caller = await Caller.open(scene.port);
  let sent = '';
  for (let at = 0; at < 50; at += 1) sent += get(`/${at}`, at % 3 === 0 ? DEV : '');
  caller.send(sent);
  const text = await caller.untilHas(' /49 ');
  const order = [...text.matchAll(/(app|laptop) GET \/(\d+) /g)].map(([, who, at]) => `${who}${at}`);
  assert.deepEqual(
    order,
    Array.from({ length: 50 }, (_, at) => `${at % 3 === 0 ? 'laptop' : 'app'}${at}`),
  );
});

test('what the app gets is byte for byte what the caller sent; the laptop gets one field more', async () => {
  const { scene, app, laptop } = await world();
  const caller = await Caller.open(scene.port);
  const odd = 'POST /x?y HTTP/1.1\r\nhOsT:  a  \r\nX-A: 1\r\nx-a: \xe9\r\nTransfer-Encoding: CHUNKED\r\n';
  const body = '3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n';
  caller.send(`${odd}\r\n${body}`);
  await caller.untilHas('app POST /x?y 3');
  assert.equal(app.received(), `${odd}\r\n${body}`);
  caller.send(`${odd}X-User: dev\r\n\r\n${body}`);
  await caller.untilHas('laptop POST /x?y 3');
  assert.equal(laptop.received(), `${odd}X-User: dev\r\nx-intercept-by: dev@host\r\n\r\n${body}`);
});

test('a request in pieces of one byte arrives as it was sent', async () => {
  const { scene, laptop } = await world();
  const caller = await Caller.open(scene.port);
  const sent = `POST / HTTP/1.1\r\nHost: a\r\n${DEV}Content-Length: 5\r\n\r\nhello`;
  for (const byte of Buffer.from(sent)) {
    await new Promise<void>((resolve) => caller.socket.write(Buffer.from([byte]), () => resolve()));
  }
  await caller.untilHas('laptop POST / 5');
  assert.equal(laptop.received(), sent.replace('\r\n\r\n', '\r\nx-intercept-by: dev@host\r\n\r\n'));
});

test('an answer arrives as it was made, however it is cut, with its fields added where there are some', async () => {
  const answer =
    'HTTP/1.1 200 Fine\r\nX-a: 1\r\nx-A:  2 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n';
  const app = await rawUpstream((socket) =>
    socket.on('data', () => {
      for (const byte of Buffer.from(answer)) socket.write(Buffer.from([byte]));
    }),
  );
  const { caller } = await stage.worldOf(app);
  caller.send(get('/1'));
  await caller.until((text) => text === answer);
  const marked = await stage.worldOf(await answering(answer), {
    choose: (_head, { app }) => ({ ...app, responseFields: [['x-intercept-by', 'd@h']] }),
  });
  marked.caller.send(get('/2'));
  await marked.caller.until((text) => text === answer.replace('\r\n\r\n', '\r\nx-intercept-by: d@h\r\n\r\n'));
});

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

test('interim answers pass, and 100 lets the body come', async () => {
  const { caller } = await stage.worldOf(
    await httpUpstream(
      (request, response) => {
        request.resume();
        request.on('end', () => response.end('done'));
      },
      (server) =>
        server.on('checkContinue', (request, response) => {
          response.writeEarlyHints({ link: '</a>; rel=preload' });
          response.writeContinue();
          server.emit('request', request, response);
        }),
    ),
  );
  caller.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  await caller.untilHas('HTTP/1.1 100 Continue\r\n\r\n');
  assert.match(caller.text, /^HTTP\/1\.1 103 Early Hints\r\n/);
  caller.send('hello');
  await caller.untilHas('done');
  caller.send(get('/next'));
  await caller.until((text) => answersIn(text) === 2);
});

test('a final answer instead of 100 is the last one: whether the body comes is unknown', async () => {
  const { scene, caller } = await stage.worldOf(await answering('HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno'));
  caller.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 500\r\n\r\n');
  assert.equal(await caller.untilEnd(), 'HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno');
  await scene.idle();
});

test('behind an answer that came early the rest of the body goes where it belongs, then the next request', async () => {
  const app = await rawUpstream((socket) => {
    socket.write('');
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly'));
    socket.on('data', (chunk: Buffer) => {
      if (chunk.includes('/next')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext');
    });
  });
  const { caller } = await stage.worldOf(app);
  caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello');
  await caller.untilHas('early');
  caller.send(`world${get('/next')}`);
  await caller.untilHas('next');
  assert.equal(app.connections, 1);
  assert.match(app.received(), /\r\n\r\nhelloworldGET \/next /);
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
  const { scene } = await world();
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
  const { scene } = await world();
  const caller = await Caller.open(scene.port);
  caller.send(get('/1', DEV) + get('/2') + get('/3', 'Connection: close\r\n'));
  caller.socket.end();
  await caller.closed;
  assert.match(caller.text, /laptop GET \/1 [\s\S]*app GET \/2 [\s\S]*app GET \/3 /);
  await scene.idle();
});

test('a request that the end cuts in its head is refused behind those before it; one cut in its body is cut for the app', async () => {
  const { scene, app } = await world();
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

test('a refusal is a page with the reason, and the connection goes on where the request was whole', async () => {
  const refusal: Refusal = { status: 508, reason: 'went round 8 times' };
  const { scene } = await world({ choose: (head, { app }) => (head.path === '/loop' ? refusal : app) });
  const caller = await Caller.open(scene.port);
  caller.send(get('/loop'));
  await caller.untilHas('508 Loop Detected: went round 8 times\n');
  caller.send(`HEAD /loop HTTP/1.1\r\nHost: a\r\n\r\n${get('/ok')}`);
  await caller.untilHas('app GET /ok 0');
  caller.send('POST /loop HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe');
  assert.match(await caller.untilEnd(), /Connection: close\r\n\r\n508 [^\n]*\n$/);
});

test('a body that turns out to be none is answered with 400, and the answerer never sees it end', async () => {
  const ends: boolean[] = [];
  let onBody = (): void => {};
  const body = new Promise<void>((resolve) => {
    onBody = resolve;
  });
  const app = await httpUpstream((request) => {
    request.on('error', () => {});
    request.on('close', () => ends.push(request.complete));
    request.on('data', () => onBody());
  });
  const { scene, caller } = await stage.worldOf(app);
  caller.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  await body;
  caller.send('x\r\n');
  assert.match(await caller.untilEnd(), /^HTTP\/1\.1 400 /);
  await scene.idle();
  assert.deepEqual(ends, [false]);
});

test('2,000 requests through a keep-alive agent: right answers, and no connection or listener too many', async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => {
    warnings.push(warning);
  };
  process.on('warning', onWarning);
  const { scene, app, laptop } = await world();
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
