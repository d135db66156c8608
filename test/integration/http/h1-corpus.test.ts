import assert from 'node:assert/strict';
import { afterAll, beforeAll, test } from 'vitest';
import { HTTP_CORPUS } from '../../support/http-corpus.ts';
import { Scene } from './h1-scene.ts';
import { answersIn, Caller, httpUpstream, type Upstream } from './h1-upstreams.ts';

let app: Upstream;
let laptop: Upstream;
let scene: Scene;

beforeAll(async () => {
  app = await httpUpstream((request, response) => {
    request.resume();
    request.on('end', () => response.end('app'));
  });
  laptop = await httpUpstream((_request, response) => response.end('laptop'));
  scene = await Scene.open({ app: app.port, laptop: laptop.port });
});

afterAll(async () => {
  await scene[Symbol.asyncDispose]();
  await app[Symbol.asyncDispose]();
  await laptop[Symbol.asyncDispose]();
});

/** What those who are sent `bytes` are to get: all of it but empty lines between requests, and what was refused. */
function wholeRequests(bytes: Buffer, reachesAll: boolean, received: string): boolean {
  const sent = bytes.toString('latin1').replace(/^\r\n/, '').replace('hello\r\nGET', 'helloGET');
  return reachesAll ? received === sent : sent.startsWith(received) && received.length < sent.length;
}

for (const { name, bytes, requests, refused } of HTTP_CORPUS) {
  test(`${name}: ${refused ? `nothing behind ${requests} requests reaches anybody` : `${requests} reach the app as sent`}`, async () => {
    const before = app.received().length;
    const caller = await Caller.open(scene.port);
    caller.send(bytes);
    if (refused) {
      const text = await caller.untilEnd();
      assert.match(text, /HTTP\/1\.1 (400|431) [\s\S]*\r\nConnection: close\r\n/);
      assert.equal(answersIn(text), requests + 1);
    } else {
      await caller.until((text) => answersIn(text) === requests);
      caller.socket.end();
    }
    await caller.closed;
    await scene.idle();
    const received = app.received().slice(before);
    if (requests === 0) assert.equal(received, '');
    else assert.ok(wholeRequests(bytes, !refused, received), received);
    assert.equal(laptop.received(), '');
    assert.equal(scene.openCount, 0);
  });
}

test('behind all of them the router still routes', async () => {
  const caller = await Caller.open(scene.port);
  caller.send('GET / HTTP/1.1\r\nHost: a\r\nX-User: dev\r\n\r\n');
  await caller.untilHas('laptop');
  caller.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await caller.untilEnd();
  assert.match(caller.text, /app/);
});
