import assert from 'node:assert/strict';
import { afterEach, test } from 'vitest';
import type { Refusal } from '../../../src/http/routing.ts';
import { get, H1Stage } from './h1-stage.ts';
import { answering, answersIn, Caller, httpUpstream, rawUpstream } from './h1-upstreams.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

const DEV = 'X-User: dev\r\n';

test('requests of one connection go to different answerers, each over one connection of its own', async () => {
  const { scene, app, laptop } = await stage.echoWorld();
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
  const { scene } = await stage.echoWorld();
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
  const { scene, app, laptop } = await stage.echoWorld();
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
  const { scene, laptop } = await stage.echoWorld();
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

test('a refusal is a page with the reason, and the connection goes on where the request was whole', async () => {
  const refusal: Refusal = { status: 508, reason: 'went round 8 times' };
  const { scene } = await stage.echoWorld({ choose: (head, { app }) => (head.path === '/loop' ? refusal : app) });
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
