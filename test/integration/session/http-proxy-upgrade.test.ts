import assert from 'node:assert/strict';
import { test } from 'vitest';
import { onStage, type Peer, type Stage } from './http-proxy-fixture.ts';

const UPGRADE =
  'GET /chat?token=x HTTP/1.1\r\nHOST: a\r\nUpgrade: websocket\r\nconnection: Upgrade\r\nSec-WebSocket-Key: AAAA\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\nX-a: 1\r\nx-A: 2\r\n\r\n';

async function joined(stage: Stage): Promise<{ caller: Peer; upstream: Peer }> {
  const { caller, upstream } = await stage.request(UPGRADE);
  assert.equal(upstream.take(), UPGRADE);
  upstream.send(SWITCHED);
  await caller.has('\r\n\r\n');
  assert.equal(caller.take(), SWITCHED);
  return { caller, upstream };
}

test('an upgrade passes byte by byte and joins both connections', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await joined(stage);
    caller.send('\x81\x80ping');
    await upstream.has('\x81\x80ping');
    upstream.send('\x81\x00pong');
    await caller.has('\x81\x00pong');
    const { ms: _, ...record } = (await stage.recorded(1))[0] ?? { ms: 0 };
    assert.deepEqual(record, { method: 'GET', path: '/chat', status: 101, bytesUp: 0, bytesDown: 0 });
  }));

test('bytes sent together with the heads of an upgrade are not lost', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(`${UPGRADE}early`);
    upstream.send(`${SWITCHED}first`);
    await caller.has('first');
    assert.equal(caller.received, `${SWITCHED}first`);
    await upstream.has('early');
  }));

test('each direction of an upgraded connection is closed on its own', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await joined(stage);
    caller.socket.end();
    await upstream.until((u) => u.ended, 'the end at the process');
    upstream.send('still here');
    await caller.has('still here');
    upstream.socket.end();
    await Promise.all([caller.closed(), upstream.closed()]);
    assert.deepEqual([caller.closedBy, upstream.closedBy], ['fin', 'fin']);
  }));

test('a reset of an upgraded connection is a reset on the other side', () =>
  onStage({}, async (stage) => {
    const one = await joined(stage);
    one.caller.socket.resetAndDestroy();
    assert.equal((await one.upstream.closed()).closedBy, 'reset');
    const two = await joined(stage);
    two.upstream.socket.resetAndDestroy();
    assert.equal((await two.caller.closed()).closedBy, 'reset');
  }));

test.each([
  ['Content-Length: 6\r\n\r\ndenied', 'Content-Length: 6\r\nConnection: close\r\n\r\ndenied'],
  [
    'Transfer-Encoding: chunked\r\n\r\n6\r\ndenied\r\n0\r\n\r\n',
    'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n6\r\ndenied\r\n0\r\n\r\n',
  ],
])("the process's refusal of an upgrade reaches the caller: %j", (sent, received) =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(UPGRADE);
    upstream.send(`HTTP/1.1 403 Nope\r\nWWW-authenticate: x\r\n${sent}`);
    await caller.until((c) => c.ended, 'the end');
    assert.equal(caller.received, `HTTP/1.1 403 Nope\r\nWWW-authenticate: x\r\n${received}`);
    caller.socket.end();
    const [record] = await stage.recorded(1);
    assert.deepEqual([record?.status, record?.bytesDown, record?.error], [403, 6, undefined]);
  }),
);

test('a refusal that is cut reaches the caller as a reset', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(UPGRADE);
    upstream.send('HTTP/1.1 403 Nope\r\nContent-Length: 6\r\n\r\nden');
    await caller.has('den');
    upstream.socket.resetAndDestroy();
    assert.equal((await caller.closed()).closedBy, 'reset');
  }));

test('an upgrade while nothing listens gives the 502', () =>
  onStage({}, async (stage) => {
    await stage.process.close();
    const caller = (await stage.caller()).send(UPGRADE);
    await caller.until((c) => c.ended, 'the end');
    assert.match(caller.received, /^HTTP\/1\.1 502 (?:.|\r\n)*x-kube-intercept: process-unreachable\r\n/);
  }));

test('a caller that leaves while its upgrade waits ends the waiting', () =>
  onStage({ holdMs: 60_000 }, async (stage) => {
    const caller = await stage.servedCaller();
    await stage.process.close();
    caller.send(UPGRADE);
    caller.socket.resetAndDestroy();
    assert.equal((await stage.recorded(2))[1]?.error, 'the caller left');
  }));

test('when the caller leaves before the process agreed its connection to the process closes', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(UPGRADE);
    caller.socket.resetAndDestroy();
    await upstream.until((u) => u.ended || u.closedBy !== undefined, 'the end at the process');
  }));

test('an offer of h2c is ignored, so that the connection serves further requests', () =>
  onStage({}, async (stage) => {
    const offer = 'Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\nUpgrade: h2c\r\n';
    const { caller, upstream } = await stage.request(`GET /1 HTTP/1.1\r\n${offer}Host: a\r\n\r\n`);
    assert.equal(upstream.take(), 'GET /1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    upstream.send(answer);
    await caller.has('ok');
    caller.take();
    caller.send(`POST /2 HTTP/1.1\r\n${offer}Host: a\r\nContent-Length: 4\r\n\r\nbody`);
    await upstream.has('body');
    assert.equal(
      upstream.received,
      'POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\nbody',
    );
    upstream.send(answer);
    await caller.has('ok');
    assert.equal(caller.received, answer);
  }));

test('close resets upgraded connections', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await joined(stage);
    await stage.proxy.close();
    assert.equal((await caller.closed()).closedBy, 'reset');
    await upstream.closed();
  }));
