import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'vitest';
import { startWorld } from './support/agent-world.ts';
import { claimOf } from './support/claims.ts';
import { acceptWith, dialCarrier, refusalOf } from './support/session-double.ts';
import { dial, echoAs, exchange, listenTcp, readAll, until } from './support/tcp.ts';

const NONCE = 'abcdefghijklmnopqrstuv';

test('the second session on a port is refused, and told user, host and since when', async () => {
  const world = await startWorld();
  const before = Date.now();
  await world.dialIntercepting({ user: 'ann', onIncoming: acceptWith(echoAs('ann')) });
  const second = await world.dial({ user: 'bob', onIncoming: acceptWith(echoAs('bob')) });
  const error = await refusalOf(second.request('claim', claimOf([world.appPort])));
  assert.equal(error.code, 'TARGET_IN_USE');
  assert.deepEqual([error.holder?.user, error.holder?.host, error.holder?.connected], ['ann', 'desk', true]);
  assert.ok((error.holder?.sinceMs ?? 0) >= before);
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'ann:x');
  await world.close();
});

test('claims outlive a lost carrier for a while, and the session finds its place again', async () => {
  const world = await startWorld();
  const first = await world.dialIntercepting({ sessionId: 'same', onIncoming: acceptWith(echoAs('laptop')) });
  first.cut();
  await until(() => world.agent.stats().sessions === 0, 'the agent knows');
  assert.equal((await exchange(world.routePort, 'a')).bytes.toString(), 'app:a');
  const other = await world.dial({ user: 'bob' });
  const error = await refusalOf(other.request('claim', claimOf([world.appPort])));
  assert.deepEqual([error.code, error.holder?.connected], ['TARGET_IN_USE', false]);
  await world.dialIntercepting({ sessionId: 'same', onIncoming: acceptWith(echoAs('laptop again')) });
  assert.equal((await exchange(world.routePort, 'b')).bytes.toString(), 'laptop again:b');
  await world.close();
});

test('after the grace another session may claim', async () => {
  const world = await startWorld(undefined, { graceMs: 20 });
  (await world.dialIntercepting()).cut();
  await until(() => world.agent.stats().sessions === 0 && world.agent.stats().timers === 0, 'the grace is over');
  await world.dialIntercepting({ user: 'bob', onIncoming: acceptWith(echoAs('bob')) });
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'bob:x');
  await world.close();
});

test('a session that dials again closes its old carrier and keeps its claims', async () => {
  const world = await startWorld();
  const old = await world.dialIntercepting({ sessionId: 'same' });
  await world.dialIntercepting({ sessionId: 'same', onIncoming: acceptWith(echoAs('new')) });
  await old.mux.closed;
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'new:x');
  assert.equal(world.agent.stats().sessions, 1);
  await world.close();
});

test('a session takes over from its own dead one at once', async () => {
  const world = await startWorld();
  const dead = await world.dialIntercepting({ sessionId: 'dead' });
  dead.cut();
  const next = await world.dial({ onIncoming: acceptWith(echoAs('next')) });
  await next.request('claim', claimOf([world.appPort], { replaces: ['dead'] }));
  await next.request('route', { appPort: world.appPort, protocol: 'tcp', to: 'laptop' });
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'next:x');
  await world.close();
});

test('evicted sessions are told by whom, and the app answers at once', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ sessionId: 'ours', onIncoming: acceptWith(echoAs('laptop')) });
  const leaver = await world.dial({ user: 'bob' });
  const { sessions } = await leaver.request('evict', { by: 'bob@desk' });
  assert.deepEqual(
    sessions.map(({ sessionId }) => sessionId),
    ['ours'],
  );
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'app:x');
  await until(() => session.events.length === 1, 'the session is told');
  assert.deepEqual(session.events, [{ type: 'event', event: 'evicted', by: 'bob@desk' }]);
  await session.mux.close();
  await until(() => world.agent.stats().sessions === 1, 'the evicted one is gone');
  await world.close();
});

test('status tells pod, sessions, routes, idle time and open connections', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ sessionId: 'ours', onIncoming: acceptWith(() => {}) });
  const caller = await dial(world.routePort);
  await until(() => session.streams.length === 1, 'the stream is open');
  const visitor = await world.dial();
  const status = await visitor.request('status', {});
  assert.equal(status.pod, 'web-1');
  assert.deepEqual(
    status.sessions.map(({ sessionId, connected }) => [sessionId, connected]),
    [['ours', true]],
  );
  assert.deepEqual(status.intercepts, [
    {
      appPort: world.appPort,
      protocol: 'tcp',
      sessionId: 'ours',
      mirror: false,
      to: 'laptop',
      taken: 1,
      open: 1,
      dropped: 0,
    },
  ]);
  assert.deepEqual([status.idleMs, status.openConnections, status.draining], [0, 1, false]);
  caller.resetAndDestroy();
  await world.close();
});

test('the environment is told, and an unknown method is answered', async () => {
  const world = await startWorld(undefined, {
    env: { GREETING: 'hi', NODE_OPTIONS: '', KUBE_INTERCEPT_APP_NODE_OPTIONS: '--inspect', KUBE_INTERCEPT_AGENT: '{}' },
  });
  const session = await world.dial();
  assert.deepEqual(await session.request('environment', {}), {
    variables: { GREETING: 'hi', NODE_OPTIONS: '--inspect' },
  });
  const response = await session.requestRaw('fly', {});
  assert.ok('error' in response && response.error.code === 'UNKNOWN_METHOD');
  await world.close();
});

test('a stream of the kind that only agents open is refused to a session', async () => {
  const world = await startWorld();
  const session = await world.dial();
  const stream = session.mux.open({ kind: 'incoming', host: '127.0.0.1', port: world.appPort });
  await assert.rejects(stream.opened, { reason: 'refused' });
  await world.close();
});

test('a proof request is answered by the agent and troubles nobody, ordinary connections pass unharmed', async () => {
  const world = await startWorld();
  const session = await world.dialIntercepting({ onIncoming: acceptWith(echoAs('laptop')) });
  await session.request('expectProof', { nonce: NONCE, ttlMs: 60_000 });
  const proof = { nonce: NONCE, protocol: 'tcp', host: '127.0.0.1', port: world.routePort, timeoutMs: 5_000 } as const;
  assert.deepEqual(await session.request('prove', proof), { pod: 'web-1' });
  assert.deepEqual(session.events, [{ type: 'event', event: 'proved', nonce: NONCE, appPort: world.appPort }]);
  assert.equal(session.streams.length, 0);
  for (const request of ['', 'G', 'hello', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'x'.repeat(500_000)])
    assert.equal((await exchange(world.routePort, request)).bytes.toString(), `laptop:${request}`);
  const caller = await dial(world.routePort);
  const outcome = readAll(caller);
  for (const part of ['GET /.well-known', '/kube-intercept-proof/', 'somebody else']) {
    caller.write(part);
    await new Promise((resolve) => setImmediate(resolve));
  }
  caller.end();
  assert.equal((await outcome).bytes.toString(), 'laptop:GET /.well-known/kube-intercept-proof/somebody else');
  await world.close();
});

test('a caller that waits for the server is served while a proof is expected, and one that leaves is no harm', async () => {
  const world = await startWorld((socket) => socket.end('220 hello'));
  const session = await world.dial();
  await session.request('expectProof', { nonce: NONCE, ttlMs: 60_000 });
  const caller = await dial(world.routePort);
  assert.equal((await readAll(caller)).bytes.toString(), '220 hello');
  caller.end();
  (await dial(world.routePort)).resetAndDestroy();
  (await dial(world.routePort)).destroy();
  await world.close();
});

test('a proof that arrives nowhere, at an app or at nothing says what happened', async () => {
  const world = await startWorld((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nkube-intercept AAAA web-1'));
  const silent = await listenTcp((socket) => socket.resume());
  const session = await world.dial();
  const proveAt = (port: number, timeoutMs: number) =>
    refusalOf(session.request('prove', { nonce: NONCE, protocol: 'tcp', host: '127.0.0.1', port, timeoutMs }));
  assert.match((await proveAt(world.routePort, 5_000)).message, /something else than an agent/);
  assert.match((await proveAt(silent.port, 50)).message, /no answer in time/);
  await silent.close();
  const { code, message } = await proveAt(silent.port, 5_000);
  assert.equal(code, 'PROOF_FAILED');
  assert.match(message, /ECONNREFUSED/);
  await world.close();
});

test('the tunnel is found behind any prefix of the path, and other paths are not', async () => {
  const world = await startWorld();
  const session = await world.dial({ path: '/api/v1/namespaces/shop/pods/https:web-1:9900/proxy/tunnel' });
  assert.equal(session.pod, 'web-1');
  await assert.rejects(world.dial({ path: '/other' }), { code: 'TUNNEL_REFUSED' });
  await world.close();
});

test('a peer with another key is turned away and opens nothing', async () => {
  const world = await startWorld();
  await assert.rejects(world.dial({ key: Buffer.alloc(32) }), { code: 'TUNNEL_UNAUTHENTICATED' });
  await until(() => world.agent.stats().unauthenticatedPeers === 0, 'it is cut');
  assert.equal(world.agent.stats().sessions, 0);
  await world.close();
});

test('peers that say nothing are cut at the deadline, wherever they stopped', async () => {
  const world = await startWorld(undefined, { handshakeDeadlineMs: 2_000 });
  const silent = connect(world.agent.tunnelPort, '127.0.0.1');
  silent.on('error', () => {});
  const carrier = await dialCarrier(world.agent.tunnelPort);
  const closed = new Promise<void>((resolve) => {
    carrier.onMessage = () => {};
    carrier.onClose = () => resolve();
  });
  await until(() => world.agent.stats().unauthenticatedPeers === 2, 'both are there');
  await Promise.all([once(silent, 'close'), closed]);
  await until(() => world.agent.stats().unauthenticatedPeers === 0, 'both are forgotten');
  await world.close();
});

test('strangers that hold all places do not keep a session out, nor one that is connected from working', async () => {
  const world = await startWorld();
  await world.dialIntercepting({ onIncoming: acceptWith(echoAs('laptop')) });
  const strangers = Array.from({ length: 100 }, () => {
    const socket = connect(world.agent.tunnelPort, '127.0.0.1');
    socket.on('error', () => {});
    return socket;
  });
  await until(() => world.agent.stats().unauthenticatedPeers === 32, 'all places are taken');
  const late = await world.dial();
  assert.equal((await late.request('status', {})).pod, 'web-1');
  assert.equal((await exchange(world.routePort, 'x')).bytes.toString(), 'laptop:x');
  for (const socket of strangers) socket.destroy();
  await until(() => world.agent.stats().unauthenticatedPeers === 0, 'they are gone');
  await world.close();
});
