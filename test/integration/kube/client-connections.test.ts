import assert from 'node:assert/strict';
import type * as http from 'node:http';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'vitest';
import { makeCertificate } from '../../support/test-certificates.ts';
import { until } from '../../support/until.ts';
import { authority, clientFor, failure, listen, POD, sendJson, serverCertificate, wireServer } from './api-fixture.ts';

test('what keeps the server from being reached is named', async () => {
  const ok: http.RequestListener = (_request, response) => sendJson(response, 200, POD);
  const reason = async (url: string, cluster: object = {}): Promise<string> => {
    const error = await failure((await clientFor(url, { cluster })).get('/a'));
    assert.equal(error.code, 'CLUSTER_UNREACHABLE');
    assert.ok(error.hint !== undefined && error.message.includes(url), error.message);
    return error.message;
  };
  const closed = createServer();
  const closedPort = await listen(closed);
  await new Promise((resolve) => closed.close(resolve));
  assert.match(await reason(`https://127.0.0.1:${closedPort}`), /connection refused$/);
  assert.match(await reason('https://no-such-host.invalid'), /name not found$|name server does not answer$/);
  const plain = await wireServer(ok, 'plain');
  assert.match(await reason(`https://127.0.0.1:${plain.port}`), /does not speak TLS$/);
  const foreign = await wireServer(ok, makeCertificate(['127.0.0.1'], { ...makeCertificate(['other authority']) }));
  assert.match(await reason(foreign.url), /signed by an unknown authority$/);
  const expired = await wireServer(
    ok,
    makeCertificate(['127.0.0.1'], authority, { notAfter: new Date(Date.now() - 1000) }),
  );
  assert.match(await reason(expired.url), /has expired$/);
  const named = await wireServer(ok, makeCertificate(['kubernetes'], authority));
  assert.match(await reason(named.url), /for another name/);
  assert.deepEqual(await (await clientFor(named.url, { cluster: { 'tls-server-name': 'kubernetes' } })).get('/a'), POD);
});

test('a server that accepts and says nothing is given up at the deadline, and at once when the caller aborts', async () => {
  const server = await wireServer(() => {});
  const client = await clientFor(server.url);
  const late = await failure(client.get('/a', { timeoutMs: 50 }));
  assert.match(late.message, /did not answer GET \/a within 0.05 s/);
  assert.equal(late.code, 'CLUSTER_UNREACHABLE');
  const stop = new AbortController();
  const call = client.get('/a', { signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
});

test('a kept-alive connection that the server has closed costs a GET nothing, and a POST is not sent twice', async () => {
  let requests = 0;
  const server = await wireServer((request, response) => {
    requests += 1;
    // The second request on a connection meets a close, as when a load balancer has dropped it meanwhile.
    const socket = request.socket as typeof request.socket & { used?: boolean };
    if (socket.used) socket.destroy();
    else sendJson(response, 200, POD);
    socket.used = true;
  });
  const client = await clientFor(server.url);
  await client.get('/a');
  await client.get('/a');
  assert.equal(requests, 3);
  const error = await failure(client.create('/a', POD));
  assert.deepEqual([error.code, requests], ['CLUSTER_UNREACHABLE', 4]);
});

test('a closed client keeps no connection', async () => {
  const server = await wireServer((_request, response) => sendJson(response, 200, POD), serverCertificate);
  const client = await clientFor(server.url);
  await client.get('/a');
  const [socket] = server.sockets;
  const gone = new Promise((resolve) => socket?.once('close', resolve));
  await client.close();
  await client.close();
  await gone;
  assert.equal(server.sockets.size, 0);
});

test('renewed connections: questions are asked again, streams end with an error, writes get their answer', async () => {
  const held: (() => void)[] = [];
  const seen: string[] = [];
  const server = await wireServer((request, response) => {
    seen.push(`${request.method} ${request.url}`);
    if (request.url === '/stream') response.write('{}\n');
    else if (seen.filter((line) => line === seen.at(-1)).length === 1) held.push(() => sendJson(response, 200, POD));
    else sendJson(response, 200, POD);
  });
  const client = await clientFor(server.url);
  const stream = await client.stream('/stream');
  const [read, written] = [client.get('/silent'), client.create('/p', POD)];
  const ended = text(stream);
  ended.catch(() => {}); // looked at below
  await until(() => held.length === 2, 'both have arrived');
  client.renewConnections();
  assert.deepEqual(await read, POD);
  await assert.rejects(ended, /renewed/);
  for (const answer of held) answer();
  assert.deepEqual(await written, POD);
  assert.deepEqual(seen.sort(), ['GET /silent', 'GET /silent', 'GET /stream', 'POST /p?fieldManager=kube-intercept']);
});
