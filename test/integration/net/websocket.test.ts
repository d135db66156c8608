import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import WebSocket from 'ws';
import type { Transport } from '../../../src/mux/transport.ts';
import { acceptWebSocket, connectWebSocket, UpgradeRefusedError } from '../../../src/net/transport/websocket.ts';
import { MAX_MESSAGE_BYTES } from '../../../src/protocol/limits.ts';
import { webSocketPair } from '../../support/carriers.ts';
import { until } from '../../support/until.ts';

const signal = new AbortController().signal;
const deadlineMs = 5_000;
let server: Server;
let base: string;

beforeEach(async () => {
  server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  base = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

test.each([403, 404, 502])('an answer of HTTP %i is told with its status and the start of its body', async (status) => {
  server.on('upgrade', (_request, socket) => {
    const body = `because\n${'x'.repeat(10_000)}`;
    socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  const error = await connectWebSocket({ url: `${base}/tunnel`, signal, deadlineMs }).catch((e: unknown) => e);
  assert.ok(error instanceof UpgradeRefusedError);
  assert.equal(error.code, 'TUNNEL_REFUSED');
  assert.equal(error.status, status);
  assert.ok(error.body.startsWith('because\n') && error.body.length === 2048);
  assert.match(error.message, new RegExp(`HTTP ${status}: because$`));
});

test('a path that does not end as it should is answered 404', async () => {
  acceptWebSocket(server, { pathSuffix: '/tunnel', onTransport: () => assert.fail('accepted') });
  const dialled = connectWebSocket({ url: `${base}/tunnel/x`, signal, deadlineMs });
  await expect(dialled).rejects.toMatchObject({ status: 404 });
});

test('nobody listening, no answer in time, and an abort are told apart', async () => {
  await expect(connectWebSocket({ url: 'ws://127.0.0.1:1/', signal, deadlineMs })).rejects.toMatchObject({
    code: 'TUNNEL_LOST',
    cause: { code: 'ECONNREFUSED' },
  });
  server.on('upgrade', (_request, socket) => socket.resume().once('end', () => socket.destroy()));
  await expect(connectWebSocket({ url: base, signal, deadlineMs: 30 })).rejects.toMatchObject({ code: 'TUNNEL_LOST' });
  const abort = new AbortController();
  const dialled = connectWebSocket({ url: base, signal: abort.signal, deadlineMs });
  abort.abort(new Error('stop'));
  await expect(dialled).rejects.toThrow('stop');
});

test('headers and a connection made elsewhere are used', async () => {
  const seen = new Promise<string | undefined>((resolve) => {
    acceptWebSocket(server, {
      pathSuffix: '/tunnel',
      onTransport: (_transport, request) => resolve(request.headers['x-dev']?.toString()),
    });
  });
  const { port } = server.address() as AddressInfo;
  const transport = await connectWebSocket({
    url: 'ws://elsewhere/tunnel',
    headers: { 'x-dev': 'ada' },
    createConnection: () => connect(port, '127.0.0.1'),
    signal,
    deadlineMs,
  });
  assert.equal(await seen, 'ada');
  transport.terminate();
});

test('a message too large, or of text, closes the carrier with an error', async () => {
  const closed: (Error | undefined)[] = [];
  acceptWebSocket(server, {
    pathSuffix: '/tunnel',
    onTransport: (transport) => {
      transport.onMessage = () => {};
      transport.onClose = (error) => closed.push(error);
    },
  });
  for (const message of [Buffer.alloc(MAX_MESSAGE_BYTES + 1), 'text']) {
    const ws = new WebSocket(`${base}/tunnel`);
    ws.on('error', () => {}); // cut while we send
    await once(ws, 'open');
    ws.send(message);
    await once(ws, 'close');
  }
  await until(() => closed.length === 2, 'both closed');
  assert.ok(closed.every((error) => error instanceof Error));
});

test('a peer that pings without reading does not fill memory with pongs', async () => {
  let transport: Transport | undefined;
  acceptWebSocket(server, {
    pathSuffix: '/tunnel',
    onTransport: (accepted) => {
      transport = accepted;
      accepted.onMessage = () => {};
    },
  });
  const ws = new WebSocket(`${base}/tunnel`, { perMessageDeflate: false, generateMask() {} });
  ws.on('error', () => {}); // cut at the end
  await once(ws, 'open');
  ws.pause();
  const payload = Buffer.alloc(125);
  for (let n = 0; n < 150_000; n += 1) ws.ping(payload);
  await until(() => ws.bufferedAmount === 0, 'all pings are taken');
  assert.ok((transport?.bufferedBytes ?? Infinity) < 1024 * 1024);
  ws.terminate();
});

test('an orderly close is no error at either end, a cut is one at the other', async () => {
  const first = await webSocketPair();
  const orderly = [first.session, first.agent].map(
    (end) =>
      new Promise((resolve) => {
        end.onClose = resolve;
      }),
  );
  first.session.send(Buffer.from('last'));
  const message = new Promise((resolve) => {
    first.agent.onMessage = resolve;
  });
  first.session.close();
  assert.equal(String(await message), 'last');
  assert.deepEqual(await Promise.all(orderly), [undefined, undefined]);
  await first.close();
  const second = await webSocketPair();
  const cut = new Promise((resolve) => {
    second.agent.onClose = resolve;
  });
  second.session.terminate();
  assert.ok((await cut) instanceof Error);
  await second.close();
});

test('a sender learns that the carrier is full, and when it no longer is', async () => {
  const pair = await webSocketPair();
  pair.agent.pause();
  const chunk = Buffer.alloc(64 * 1024);
  let sent = 0;
  for (; pair.session.bufferedBytes < 1024 * 1024; sent += 1) pair.session.send(chunk);
  const drained = new Promise<void>((resolve) => {
    pair.session.onDrain = resolve;
  });
  let received = 0;
  pair.agent.onMessage = () => {
    received += 1;
  };
  pair.agent.resume();
  await drained;
  await until(() => received === sent, 'all arrived');
  pair.session.terminate();
  await pair.close();
});
