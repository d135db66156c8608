import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { eventually, World } from './h2-world.ts';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

async function tcpApp(onSocket: (socket: Socket) => void): Promise<number> {
  return await world.listen(createServer(onSocket));
}

async function caller(port: number): Promise<{ socket: Socket; got: () => string }> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  await once(socket, 'connect');
  world.onClose(() => socket.destroy());
  return { socket, got: () => text };
}

const nobody = { answerer: { status: 503, reason: 'nobody' } } as const;

test('an app that speaks first is heard, and the caller is its', async () => {
  const app = world.answerer(
    'app',
    await tcpApp((socket) => {
      socket.write('220 ready\r\n');
      socket.on('data', (chunk) => socket.write(`got ${chunk}`));
    }),
  );
  const port = await world.route(() => nobody, { app });
  const { socket, got } = await caller(port);
  await eventually(() => got() === '220 ready\r\n', got);
  socket.write('HELO\r\n');
  await eventually(() => got() === '220 ready\r\ngot HELO\r\n', got);
  assert.deepEqual([world.passedOn, world.dialled.get('app')?.length], [['other'], 1]);
});

test('a caller that is silent at first and then speaks HTTP is routed, and the app that waited is let go', async () => {
  let ended = false;
  const app = world.answerer(
    'app',
    await tcpApp((socket) =>
      socket
        .on('end', () => {
          ended = true;
        })
        .resume(),
    ),
  );
  const port = await world.route(() => nobody, { app });
  const { socket, got } = await caller(port);
  await eventually(() => world.dialled.get('app')?.[0]?.readyState === 'open');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => got().startsWith('HTTP/1.1 503'), got);
  await eventually(() => ended && world.dialled.get('app')?.[0]?.closed === true);
  assert.deepEqual(world.passedOn, []);
});

test('what is no HTTP reaches the app byte for byte, and so does TLS that cannot be ended here', async () => {
  let received = '';
  const app = world.answerer(
    'app',
    await tcpApp((socket) =>
      socket.on('data', (chunk) => {
        received += chunk.toString('latin1');
        socket.write('+OK\r\n');
      }),
    ),
  );
  const port = await world.route(() => nobody, { app });
  const redis = await caller(port);
  redis.socket.write('*1\r');
  redis.socket.write('\n$4\r\nPING\r\n');
  await eventually(() => redis.got().startsWith('+OK'), redis.got);
  assert.equal(received, '*1\r\n$4\r\nPING\r\n');
  const tls = await caller(port);
  tls.socket.write(Buffer.from([0x16]));
  tls.socket.write(Buffer.from([0x03, 0x01, 0x00]));
  await eventually(() => tls.got() === '+OK\r\n', tls.got);
  assert.ok(received.endsWith('\x16\x03\x01\x00'));
  assert.deepEqual(world.passedOn, ['other', 'tls']);
});

test('a port check, which connects and goes, is nothing that the app hears of', async () => {
  const app = world.answerer('app', await tcpApp(() => {}));
  const port = await world.route(() => nobody, { app });
  const { socket } = await caller(port);
  socket.end();
  await once(socket, 'close');
  await eventually(() => world.routers === 0);
  assert.deepEqual([world.dialled.get('app'), world.passedOn], [undefined, []]);
});

test('a head that comes byte by byte is routed as a whole one is', async () => {
  const port = await world.route(() => nobody);
  const { socket, got } = await caller(port);
  socket.setNoDelay(true);
  for (const byte of 'GET / HTTP/1.1\r\nHost: a\r\n\r\n') {
    socket.write(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await eventually(() => got().startsWith('HTTP/1.1 503'), got);
});
