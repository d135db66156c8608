import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { until } from '../../support/until.ts';
import { API_ADDRESS } from './support/pod-double.ts';
import { credentials, ProxyWorld } from './support/proxy-world.ts';

let world: ProxyWorld;

beforeEach(async () => {
  world = await ProxyWorld.open();
});
afterEach(() => world.close());

/** What came and has not been taken. */
const received = new WeakMap<Socket, Buffer>();

async function take(socket: Socket, count: number): Promise<Buffer> {
  const now = (): Buffer => received.get(socket) ?? Buffer.alloc(0);
  await until(() => now().byteLength >= count || socket.readableEnded || socket.destroyed, `${count} bytes`);
  const taken = now().subarray(0, count);
  received.set(socket, now().subarray(count));
  return taken;
}

/** Through the handshake of SOCKS5 up to the reply. */
async function socks(destination: Buffer, port: number, command = 1, password = credentials.password): Promise<Socket> {
  const socket = await world.dialProxy();
  socket.on('data', (chunk) => received.set(socket, Buffer.concat([received.get(socket) ?? Buffer.alloc(0), chunk])));
  socket.write(Buffer.from([5, 1, 2]));
  assert.deepEqual([...(await take(socket, 2))], [5, 2]);
  const secret = Buffer.from(password);
  socket.write(
    Buffer.concat([
      Buffer.from([1, credentials.user.length]),
      Buffer.from(credentials.user),
      Buffer.from([secret.length]),
      secret,
    ]),
  );
  const [, status] = await take(socket, 2);
  if (status !== 0) return socket;
  socket.write(Buffer.concat([Buffer.from([5, command, 0]), destination, Buffer.from([port >> 8, port & 255])]));
  return socket;
}

const ipv4 = (address: string): Buffer => Buffer.from([1, ...address.split('.').map(Number)]);
const named = (name: string): Buffer => Buffer.concat([Buffer.from([3, name.length]), Buffer.from(name)]);

describe('SOCKS5', () => {
  test('a half-close passes both ways and a server may speak first', async () => {
    const port = await world.tcp((socket) => {
      socket.write('220 ready\n');
      socket.on('end', () => socket.end('bye'));
      socket.resume();
    });
    const socket = await socks(named('api'), port);
    assert.equal((await take(socket, 10))[1], 0);
    assert.equal(String(await take(socket, 10)), '220 ready\n');
    socket.end();
    assert.equal(String(await take(socket, 3)), 'bye');
    await until(() => socket.closed, 'closed');
  });

  test('a reset stays a reset', async () => {
    const port = await world.tcp((socket) => socket.once('data', () => socket.resetAndDestroy()));
    const socket = await socks(named('api'), port);
    await take(socket, 10);
    const failed = once(socket, 'error');
    socket.write('x');
    const [error] = await failed;
    assert.equal(error.code, 'ECONNRESET');
  });

  test('refusals have the codes of RFC 1928', async () => {
    const rows = [
      [ipv4('10.96.0.11'), 80, 1, 5],
      [ipv4('10.96.0.12'), 80, 1, 4],
      [ipv4('10.96.0.13'), 80, 1, 6],
      [named('nowhere'), 80, 1, 4],
      [ipv4(API_ADDRESS), 80, 2, 7],
      [Buffer.from([9, 1]), 80, 1, 8],
    ] as const;
    for (const [destination, port, command, code] of rows) {
      const socket = await socks(destination, port, command);
      assert.equal((await take(socket, 10))[1], code, `${[...destination]}`);
      socket.destroy();
    }
  });

  test('a wrong password ends the connection', async () => {
    const socket = await socks(named('api'), 80, 1, 'wrong');
    await until(() => socket.readableEnded || socket.destroyed, 'ended');
    socket.destroy();
    assert.deepEqual(world.pod.opened, []);
  });

  test('connects to IPv6 addresses', async () => {
    const port = await world.tcp((socket) => socket.end('six'));
    const socket = await socks(Buffer.from([4, 0xfd, 0, 0, 0x96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]), port);
    assert.equal((await take(socket, 10))[1], 0);
    assert.equal(String(await take(socket, 3)), 'six');
    socket.end();
  });
});
