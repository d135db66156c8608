import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as pass } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { afterEach, test, vi } from 'vitest';
import { MAX_CONNECTIONS } from '../../../agent/limits.ts';
import { MAX_FIELDS, MAX_HEAD_BYTES, MAX_LARGE_HEADS } from '../../../src/http/h1/limits.ts';
import { makeCertificate } from './support/certificate.ts';
import { claimOf, intercept } from './support/claims.ts';
import { CONTAINER_BYTES, type HostileWorld, hostileWorld, readToEnd } from './support/hostile.ts';
import { answeredBy, ask, httpApp, seeingServer, withHeader } from './support/http.ts';
import { acceptWith, dialCarrier, dialSession } from './support/session-double.ts';
import { exchange, until } from './support/tcp.ts';

// Thousands of connections on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const SHED = 'too much is waiting, connections are reset';
/** The first half of what a TLS client says first: the rest never comes. */
const HALF_CLIENT_HELLO = Buffer.from('1603010200010001fc0303', 'hex');

let world: HostileWorld;
afterEach(async () => {
  await world.close();
});

function assertBounded(): void {
  assert.ok(world.peakBytes < CONTAINER_BYTES, `the agent takes ${world.peakBytes} bytes`);
}

/** An app, or a process, that says `ok` to a first byte, and ends when its caller does. */
function sayOk(socket: Duplex): void {
  socket.once('data', () => socket.write('ok'));
  socket.on('end', () => socket.end());
}

/** A session with a filter on the port: all who are not `x-user: ann` have the app. */
async function filterPort(more: Parameters<typeof intercept>[1] = {}): Promise<void> {
  const session = await dialSession({ port: world.agent.tunnelPort, key: world.agent.key });
  const filtered = intercept(world.app.port, { filter: withHeader('x-user', 'ann'), to: 'laptop', ...more });
  await session.request('claim', claimOf([filtered]));
}

test('of 10,000 callers and one more the last is reset, the others are served, and so is the next', {
  timeout: 240_000,
}, async () => {
  world = await hostileWorld(sayOk);
  const { agent, app } = world;
  const session = await dialSession({ port: agent.tunnelPort, key: agent.key, onIncoming: acceptWith(sayOk) });
  await session.request('claim', claimOf([intercept(app.port, { to: 'laptop' })]));
  const callers = await world.open(MAX_CONNECTIONS);
  for (const caller of callers) caller.write('x');
  const [oneMore] = await world.open(1);
  assert.ok(oneMore !== undefined);
  assert.equal(await readToEnd(oneMore), '');
  const answers = callers.map((caller) => once(caller, 'data'));
  for (const caller of callers) caller.resume();
  await Promise.all(answers);
  const status = await session.request('status', {});
  assert.equal(status.openConnections, MAX_CONNECTIONS);
  assertBounded();
  for (const caller of callers.slice(0, 10)) caller.resetAndDestroy();
  while ((await session.request('status', {})).openConnections >= MAX_CONNECTIONS) await pass(20);
  assert.match((await exchange(agent.routePort, 'x')).bytes.toString(), /ok/);
});

test('callers that read nothing of what an app sends lose their connections before the agent has no memory left', async () => {
  world = await hostileWorld((socket) => {
    socket.once('data', (first: Buffer) => {
      if (first.toString() !== 'all') socket.end('ok');
      else sendForEver(socket);
    });
  });
  const callers = await world.open(600);
  for (const caller of callers) caller.write('all');
  await until(() => world.agent.log.some(({ message }) => message === SHED), 'some are cut', 30_000);
  assert.equal((await exchange(world.agent.routePort, 'x')).bytes.toString(), 'ok');
  assertBounded();
});

function sendForEver(socket: Socket): void {
  const piece = Buffer.alloc(1024 * 1024);
  const more = (): void => {
    while (socket.writable && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

test('heads and bodies that come byte by byte cost others nothing', async () => {
  world = await hostileWorld(httpApp(seeingServer('app')));
  await filterPort();
  const slow = await world.open(500);
  const text = Buffer.from('POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1000\r\n\r\n0123456789');
  for (let at = 0; at < text.byteLength; at += 1) {
    for (const caller of slow) caller.write(text.subarray(at, at + 1));
    if (at % 10 === 0) assert.equal(await answeredBy(world.agent.routePort), 'app');
  }
  assertBounded();
});

test('a head that is too large, or has too many fields, is refused with 431, and many at a time are, too', async () => {
  world = await hostileWorld(httpApp(seeingServer('app')));
  await filterPort();
  const { routePort } = world.agent;
  const large = `GET / HTTP/1.1\r\nHost: web\r\nX: ${'a'.repeat(MAX_HEAD_BYTES)}\r\n\r\n`;
  assert.match((await exchange(routePort, large)).bytes.toString(), /^HTTP\/1\.1 431 /);
  const many = `GET / HTTP/1.1\r\nHost: web\r\n${'X: y\r\n'.repeat(MAX_FIELDS)}\r\n`;
  assert.match((await exchange(routePort, many)).bytes.toString(), /^HTTP\/1\.1 431 /);
  const callers = await world.open(1_000);
  const answers = callers.map((caller) => readToEnd(caller));
  for (const caller of callers) caller.write(large.slice(0, 200_000));
  let refused = 0;
  for (const answer of answers) void answer.then((text) => (refused += Number(text.startsWith('HTTP/1.1 431 '))));
  await until(() => refused === callers.length - MAX_LARGE_HEADS, 'all but a few are refused', 30_000);
  assert.equal(await answeredBy(routePort), 'app');
  assertBounded();
  for (const caller of callers) caller.destroy();
  // The places are free again, as soon as the agent has seen them go; the app has limits of its own.
  const after = async (): Promise<unknown> =>
    await ask(routePort, { large: 'a'.repeat(100_000) }).then(
      ({ status }) => status,
      () => undefined,
    );
  while ((await after()) === 431);
});

test('peers of the tunnel port that dribble a handshake are cut, and a session gets through meanwhile', async () => {
  world = await hostileWorld(sayOk);
  const { tunnelPort, key } = world.agent;
  const strangers = await world.open(300, tunnelPort);
  for (const stranger of strangers) stranger.write(HALF_CLIENT_HELLO);
  const session = await dialSession({ port: tunnelPort, key });
  assert.ok((await session.request('status', {})).sessions.length === 0);
  await Promise.all(strangers.map((stranger) => readToEnd(stranger)));
  const silent = await dialCarrier(tunnelPort);
  await new Promise<void>((resolve) => {
    silent.onClose = () => resolve();
    silent.resume();
  });
  assert.ok((await session.request('status', {})).sessions.length === 0);
  assertBounded();
});

test('callers that dribble a TLS handshake are cut, and others are served meanwhile', async () => {
  world = await hostileWorld(httpApp(seeingServer('app')));
  const { tlsCert: certificate, tlsKey: key } = makeCertificate();
  await filterPort({ tls: { certificate, key } });
  const slow = await world.open(200);
  for (const caller of slow) caller.write(HALF_CLIENT_HELLO);
  const secured = connectTls({ port: world.agent.routePort, host: '127.0.0.1', rejectUnauthorized: false });
  secured.on('error', () => {});
  await once(secured, 'secureConnect');
  secured.end('GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
  // The app speaks no TLS, and is told of as such: the answer is the agent's own.
  assert.match(await readToEnd(secured), /^HTTP\/1\.1 502 /);
  await Promise.all(slow.map((caller) => readToEnd(caller)));
  assertBounded();
});
