import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'vitest';
import type { InnerPorts } from '../../../cli/network/types.ts';
import { ProcessPlace } from '../../../cli/session/process-place.ts';

const servers = new Set<Server>();

/** A server that says who it is. */
async function serve(who: string, port = 0, host = '127.0.0.1'): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => {}).end(who)).listen(port, host);
  await once(server, 'listening');
  servers.add(server);
  return server;
}

async function end(server: Server): Promise<void> {
  servers.delete(server);
  await new Promise((resolve) => server.close(resolve));
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

/** The command's own ports, of which one is played by a server elsewhere. */
class Inner implements InnerPorts {
  readonly connections: Socket[] = [];
  server: Server | undefined;
  /** What listensOn() says when that is old. */
  known: boolean | undefined;
  mirrored = false;

  listensOn(): boolean {
    return this.known ?? this.server !== undefined;
  }

  async connect(): Promise<Socket> {
    if (this.server === undefined) throw Object.assign(new Error('connect inside'), { code: 'ECONNREFUSED' });
    const socket = connect({ port: portOf(this.server), host: '127.0.0.1' });
    await once(socket, 'connect');
    this.connections.push(socket);
    return socket;
  }

  openUdp(): never {
    throw new Error('no UDP here');
  }

  mirrors(address: string): boolean {
    return this.mirrored && address === '127.0.0.1';
  }
}

let port: number;
let place: ProcessPlace;
let inner: Inner;
beforeEach(async () => {
  const probe = await serve('probe');
  port = portOf(probe);
  await end(probe);
  place = new ProcessPlace(port, undefined);
  inner = new Inner();
});
afterEach(async () => {
  for (const server of servers) await end(server);
});

/** Who answers a caller; undefined: nobody. */
async function whoAnswers(): Promise<string | undefined> {
  const signal = AbortSignal.timeout(5_000);
  const socket = await place.dial({ halfOpen: true, signal }).catch((error: NodeJS.ErrnoException) => {
    assert.equal(error.code, 'ECONNREFUSED');
  });
  const said = socket === undefined ? undefined : await text(socket);
  socket?.destroy();
  return said;
}

test('a command with ports of its own is reached though the laptop’s port is taken, and who has taken it never is', async () => {
  await serve('stranger', port);
  await place.prepare(inner);
  assert.equal(await place.isListening(), false);
  assert.equal(await whoAnswers(), undefined);
  inner.server = await serve('command');
  assert.equal(await place.isListening(), true);
  assert.equal(await whoAnswers(), 'command');
  inner.server = undefined;
  assert.equal(await place.isListening(), false);
  assert.equal(await whoAnswers(), undefined);
});

test('once the stranger has gone, what is started by hand on its port is the process', async () => {
  const stranger = await serve('stranger', port);
  await place.prepare(inner);
  inner.server = await serve('command');
  await end(stranger);
  assert.equal(await place.isListening(), true);
  inner.server = undefined;
  await serve('by hand', port);
  assert.equal(await place.isListening(), true);
  assert.equal(await whoAnswers(), 'by hand');
});

test.each(['127.0.0.1', '::1'])(
  'a process started by hand on %s gets the callers while the command does not listen',
  async (host) => {
    await place.prepare(inner);
    assert.equal(await place.isListening(), false);
    await serve('by hand', port, host);
    assert.equal(await place.isListening(), true);
    assert.equal(await whoAnswers(), 'by hand');
    inner.server = await serve('command');
    assert.equal(await whoAnswers(), 'command');
  },
);

test('a mirror that outlives its listener for a moment takes no caller', async () => {
  await place.prepare(inner);
  await serve('mirror', port);
  inner.mirrored = true;
  assert.equal(await place.isListening(), false);
  assert.equal(await whoAnswers(), undefined);
});

test('what is known of the command’s ports may be old: the other way is tried as well', async () => {
  await place.prepare(inner);
  inner.server = await serve('command');
  inner.known = false;
  assert.equal(await whoAnswers(), 'command');
  inner.server = undefined;
  inner.known = true;
  await serve('by hand', port);
  assert.equal(await whoAnswers(), 'by hand');
});

test('a command that listens on the laptop needs the port, unless --to names the process', async () => {
  await serve('stranger', port);
  await assert.rejects(place.requireFree(), { code: 'USAGE_BAD_PORT' });
  await assert.rejects(place.prepare(undefined), { code: 'USAGE_BAD_PORT' });
  place = new ProcessPlace(1, { host: '127.0.0.1', port });
  await place.prepare(undefined);
  assert.equal(await whoAnswers(), 'stranger');
  await place.prepare(inner);
  assert.equal(await whoAnswers(), 'stranger');
});

test('what --to names elsewhere is not looked for inside', async () => {
  place = new ProcessPlace(1, { host: '127.0.0.2', port });
  await serve('named', port, '127.0.0.2');
  inner.server = await serve('command');
  await place.prepare(inner);
  assert.equal(await whoAnswers(), 'named');
});

test('a caller that leaves while the command is dialled leaves no connection', async () => {
  await place.prepare(inner);
  inner.server = await serve('command');
  const gone = new AbortController();
  const dialled = place.dial({ halfOpen: true, signal: gone.signal });
  gone.abort(new Error('left'));
  await assert.rejects(dialled, /left/);
  assert.deepEqual(
    inner.connections.map(({ destroyed }) => destroyed),
    [true],
  );
});
