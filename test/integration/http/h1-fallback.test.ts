import assert from 'node:assert/strict';
import { afterEach, test } from 'vitest';
import { MAX_REPLAY_BYTES } from '../../../src/http/h1/limits.ts';
import type { Answerer } from '../../../src/http/routing.ts';
import { get, H1Stage, OK } from './h1-stage.ts';
import { httpUpstream, rawUpstream } from './h1-upstreams.ts';
import { deferred, until } from './h1-waits.ts';

const stage = new H1Stage();
afterEach(() => stage.close());

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
