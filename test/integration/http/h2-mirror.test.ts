import assert from 'node:assert/strict';
import { once } from 'node:events';
import type * as http2 from 'node:http2';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Duplex } from 'node:stream';
import { afterEach, beforeEach, test } from 'vitest';
import { MAX_MIRROR_BYTES, type Mirror, type Resettable } from '../../../src/http/routing.ts';
import { ask, eventually, World } from './h2-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

const answerWithSize = (stream: http2.ServerHttp2Stream): void => {
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
  });
  stream.on('end', () => {
    if (stream.closed) return;
    stream.respond({ ':status': 200 });
    stream.end(`app ${bytes}`);
  });
};

/** A port whose requests the app answers, all mirrored by `open`. */
async function mirrored(open: () => Resettable | undefined): Promise<{ port: number; dropped: () => number }> {
  const app = await world.serve(answerWithSize);
  let dropped = 0;
  const mirror: Mirror = {
    id: 'dev',
    open,
    dropped: () => {
      dropped += 1;
    },
  };
  const port = await world.route(() => ({ answerer: world.answerer('app', app.port), mirrors: [mirror] }));
  return { port, dropped: () => dropped };
}

function toPort(port: number): () => Resettable {
  return () => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    world.onClose(() => socket.destroy());
    return socket;
  };
}

test('a mirror gets whole copies over one connection, and its answers go nowhere', async () => {
  const copies: string[] = [];
  const process = await world.serve((stream, headers) => {
    let body = '';
    let sum: unknown;
    stream.on('data', (chunk) => {
      body += chunk;
    });
    stream.on('trailers', (trailers) => {
      sum = trailers['x-sum'];
    });
    stream.on('end', () => {
      copies.push(`${headers[':method']} ${headers[':path']} ${headers['x-a']} ${body} ${sum}`);
      stream.respond({ ':status': 500 });
      stream.end('mine');
    });
  });
  let opened = 0;
  const { port, dropped } = await mirrored(() => {
    opened += 1;
    return toPort(process.port)();
  });
  const client = world.client(port);
  assert.equal((await ask(client, { ':path': '/get', 'x-a': '1' })).body, 'app 0');
  const post = client.request({ ':method': 'POST', ':path': '/post', 'x-a': '2' }, { waitForTrailers: true });
  post.on('wantTrailers', () => post.sendTrailers({ 'x-sum': 'abc' }));
  post.end('hello');
  post.resume();
  await once(post, 'close');
  await eventually(
    () => copies.length === 2,
    () => copies.join(),
  );
  assert.deepEqual(copies, ['GET /get 1  undefined', 'POST /post 2 hello abc']);
  assert.equal(opened, 1);
  client.close();
  await eventually(() => process.sessions.size === 0);
  assert.equal(dropped(), 0);
});

test('a mirror that reads nothing costs no more than its share, loses its copies and holds nobody up', async () => {
  let taken = 0;
  const { port, dropped } = await mirrored(() => {
    const stuck = new Duplex({
      read: () => {},
      write: (chunk, _encoding, _done) => {
        taken += chunk.length; // never done
      },
    });
    return Object.assign(stuck, { resetAndDestroy: () => stuck.destroy() });
  });
  const client = world.client(port);
  const body = Buffer.alloc(MAX_MIRROR_BYTES / 4);
  for (let n = 0; n < 20; n += 1) {
    assert.equal((await ask(client, { ':method': 'POST' }, body)).body, `app ${body.byteLength}`);
  }
  assert.ok(dropped() >= 15, `${dropped()} dropped`);
  assert.ok(taken <= MAX_MIRROR_BYTES, `${taken} bytes`);
});

test('a mirror that is gone, refuses or breaks off costs its copies only', async () => {
  const refusing = createServer((socket) => socket.resetAndDestroy());
  refusing.listen(0, '127.0.0.1');
  await once(refusing, 'listening');
  world.onClose(() => refusing.close());
  const closedPort = (refusing.address() as AddressInfo).port;
  const ways: (() => Resettable | undefined)[] = [() => undefined, toPort(1), toPort(closedPort)];
  let way = 0;
  const { port, dropped } = await mirrored(() => ways[way]?.());
  for (way = 0; way < ways.length; way += 1) {
    const client = world.client(port);
    const before = dropped();
    for (let n = 0; n < 5; n += 1) assert.equal((await ask(client, { ':method': 'POST' }, 'x')).body, 'app 1');
    client.close();
    await eventually(
      () => dropped() === before + 5,
      () => `way ${way}: ${dropped() - before} dropped`,
    );
  }
});

test('a request that its caller cuts is cut in its copy too, which does not count as dropped', async () => {
  let aborted = 0;
  let begun = false;
  const process = await world.serve((stream) => {
    stream.on('aborted', () => {
      aborted += 1;
    });
    stream.on('data', () => {
      begun = true;
    });
  });
  const { port, dropped } = await mirrored(toPort(process.port));
  // Without waiting for trailers Node would send END_STREAM in front of the reset.
  const request = world.client(port).request({ ':method': 'POST' }, { waitForTrailers: true });
  request.on('error', () => {});
  request.write('a');
  await eventually(() => begun);
  request.close(8);
  await eventually(() => aborted === 1);
  assert.equal(dropped(), 0);
});
