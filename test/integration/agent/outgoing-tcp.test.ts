import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, test } from 'vitest';
import type { MuxStream } from '../../../src/mux/mux.ts';
import type { ResetReason } from '../../../src/protocol/frames.ts';
import { startWorld } from './support/agent-world.ts';
import type { SessionDouble } from './support/session-double.ts';
import { echoAs, listenTcp, readAll, until } from './support/tcp.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kube-intercept-hosts-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

function openTcp(session: SessionDouble, host: string, port: number): MuxStream {
  return session.mux.open({ kind: 'tcp', host, port });
}

async function resolvConfOf(nameserver: string): Promise<string> {
  const path = join(dir, `resolv-${nameserver}.conf`);
  await writeFile(path, `nameserver ${nameserver}\noptions ndots:5\n`);
  return path;
}

async function refusalOf(stream: MuxStream): Promise<ResetReason | undefined> {
  await assert.rejects(stream.opened);
  return stream.resetReason;
}

test('a stream is a connection of the pod: bytes and half-closes pass both ways', async () => {
  const world = await startWorld();
  const server = await listenTcp(echoAs('upstream'));
  const session = await world.dial();
  const stream = openTcp(session, '127.0.0.1', server.port);
  stream.end('hello');
  assert.deepEqual(await readAll(stream), { bytes: Buffer.from('upstream:hello'), how: 'end' });
  await server.close();
  await world.close();
});

test('a server that speaks first is heard, and what it says after the end of the caller too', async () => {
  const world = await startWorld();
  const server = await listenTcp((socket) => {
    socket.write('220 ready\n');
    socket.on('end', () => socket.end('bye'));
    socket.resume();
  });
  const session = await world.dial();
  const stream = openTcp(session, '127.0.0.1', server.port);
  const [greeting] = await once(stream, 'data');
  assert.equal(String(greeting), '220 ready\n');
  stream.end();
  assert.equal((await readAll(stream)).bytes.toString(), 'bye');
  await server.close();
  await world.close();
});

test('a reset stays a reset in both directions', async () => {
  const world = await startWorld();
  const server = await listenTcp((socket) => {
    socket.on('data', (chunk) => {
      if (chunk.includes('reset me')) socket.resetAndDestroy();
    });
  });
  const session = await world.dial();
  const first = openTcp(session, '127.0.0.1', server.port);
  first.write('reset me');
  assert.equal((await readAll(first)).how, 'reset');
  const second = openTcp(session, '127.0.0.1', server.port);
  await second.opened;
  await until(() => server.sockets.size === 1, 'it is connected');
  const [socket] = server.sockets;
  assert.ok(socket);
  const failed = once(socket, 'error');
  second.resetAndDestroy();
  assert.equal((await failed)[0].code, 'ECONNRESET');
  await server.close();
  await world.close();
});

test('why a connection is not made is told as what it is', async () => {
  const world = await startWorld(undefined, { outgoing: { resolvConf: await resolvConfOf('127.0.0.1'), dnsPort: 1 } });
  const session = await world.dial();
  const server = await listenTcp(() => {});
  await server.close();
  assert.equal(await refusalOf(openTcp(session, '127.0.0.1', server.port)), 'refused');
  assert.equal(await refusalOf(openTcp(session, '127.0.0.1', 0)), 'refused');
  assert.equal(await refusalOf(openTcp(session, '255.255.255.255', 80)), 'unreachable');
  assert.equal(await refusalOf(openTcp(session, 'no-such-name.invalid', 80)), 'not-found');
  for (const name of ['', 'a..b', 'a b', `${'x'.repeat(64)}.de`, '.', '\0', 'ö'.repeat(100)])
    assert.equal(await refusalOf(openTcp(session, name, 80)), 'not-found', JSON.stringify(name));
  await world.close();
});

test('a connection that takes too long is told as a timeout, looking up the name included', async () => {
  const silent = createSocket('udp4').bind(0, '127.0.0.1');
  await once(silent, 'listening');
  const resolvConf = await resolvConfOf('127.0.0.1');
  const outgoing = { resolvConf, dnsPort: silent.address().port, connectTimeoutMs: 100 };
  const world = await startWorld(undefined, { outgoing });
  const session = await world.dial();
  assert.equal(await refusalOf(openTcp(session, 'slow.example', 80)), 'timeout');
  await world.agent.close(); // does not wait for the resolver
  await world.close();
  silent.close();
});

test('names of /etc/hosts are known, and the next address is tried where one refuses', async () => {
  const hostsFile = join(dir, 'hosts');
  await writeFile(hostsFile, '# Kubernetes-managed\n::1 both\n127.0.0.1 alias.example both Alias2 # two\nbroken\n');
  const world = await startWorld(undefined, { outgoing: { hostsFile } });
  const server = await listenTcp(echoAs('upstream'));
  const session = await world.dial();
  for (const name of ['alias.example', 'ALIAS2.', 'both', 'localhost']) {
    const stream = openTcp(session, name, server.port);
    stream.end(name);
    assert.equal((await readAll(stream)).bytes.toString(), `upstream:${name}`);
  }
  await server.close();
  await world.close();
});

test('a slow reader holds its connection back, and others go on', async () => {
  const world = await startWorld();
  const bytes = Buffer.alloc(8 * 1024 * 1024, 'x');
  const server = await listenTcp((socket) => socket.end(bytes));
  const session = await world.dial();
  const slow = openTcp(session, '127.0.0.1', server.port);
  await slow.opened;
  assert.equal((await readAll(openTcp(session, '127.0.0.1', server.port).end())).bytes.byteLength, bytes.byteLength);
  assert.ok(session.mux.stats().queuedBytes < 1024 * 1024);
  assert.equal((await readAll(slow.end())).bytes.byteLength, bytes.byteLength);
  await server.close();
  await world.close();
});

test('the end of a tunnel resets its connections, and those that are being made', async () => {
  const world = await startWorld(undefined, { outgoing: { connectTimeoutMs: 60_000 } });
  const server = await listenTcp((socket) => socket.resume());
  const session = await world.dial();
  const open = openTcp(session, '127.0.0.1', server.port);
  await open.opened;
  openTcp(session, '192.0.2.1', 9);
  const [socket] = server.sockets;
  assert.ok(socket);
  const failed = once(socket, 'error');
  session.cut();
  assert.equal((await failed)[0].code, 'ECONNRESET');
  await until(() => world.agent.stats().outgoing === 0, 'nothing is left');
  await server.close();
  await world.close();
});

test('one stream more than the limit is refused with limit, and taken when another is over', async () => {
  const world = await startWorld(undefined, { outgoing: { maxStreams: 2 } });
  const server = await listenTcp(echoAs('upstream'));
  const session = await world.dial();
  const [first, second] = [openTcp(session, '127.0.0.1', server.port), openTcp(session, '127.0.0.1', server.port)];
  await Promise.all([first.opened, second.opened]);
  assert.equal(await refusalOf(openTcp(session, '127.0.0.1', server.port)), 'limit');
  await Promise.all([readAll(first.end()), readAll(second.end())]);
  await until(() => world.agent.stats().outgoing === 0, 'they are over');
  assert.equal((await readAll(openTcp(session, '127.0.0.1', server.port).end('x'))).bytes.toString(), 'upstream:x');
  await server.close();
  await world.close();
});
