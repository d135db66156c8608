import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import * as tls from 'node:tls';
import { test } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { isForbidden } from '../../../cli/kube/client.ts';
import { openPortForward } from '../../../cli/kube/port-forward.ts';
import { errorText, InterceptorError } from '../../../src/errors.ts';
import { accessTo, serverCertificate, statusObject, wireServer } from './api-fixture.ts';

const MIB = 1024 * 1024;
const PORT_MESSAGE = Buffer.from([0x90, 0x1f]); // 8080, little-endian

function message(channel: number, payload: Uint8Array | string): Buffer {
  return Buffer.concat([Buffer.from([channel]), Buffer.from(payload)]);
}

/** Lets the event loop turn until `done`. */
async function until(done: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!done()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
    await setImmediate();
  }
}

/** Opens a forward to a kubelet's end of the protocol as the test plays it. */
async function forward(): Promise<{ stream: Duplex; kubelet: WebSocket; path: string; requested: string[] }> {
  const server = await wireServer((_request, response) => response.writeHead(404).end());
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const requested: string[] = [];
  let path = '';
  const accepted = new Promise<WebSocket>((resolve) => {
    server.server.on('upgrade', (request, socket, head) => {
      path = `${request.url} ${request.headers.authorization}`;
      requested.push(request.headers['sec-websocket-protocol'] ?? '');
      webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        webSocket.send(message(0, PORT_MESSAGE));
        webSocket.send(message(1, PORT_MESSAGE));
        resolve(webSocket);
      });
    });
  });
  const signal = AbortSignal.timeout(10_000);
  const stream = await openPortForward(await accessTo(server.url), {
    namespace: 'x',
    pod: 'web-1',
    port: 8080,
    signal,
  });
  return { stream, kubelet: await accepted, path, requested };
}

test('the request names pod and port, offers v4 only, and the port bytes are no data', async () => {
  const { stream, kubelet, path, requested } = await forward();
  assert.equal(path, '/api/v1/namespaces/x/pods/web-1/portforward?ports=8080 Bearer s3cret');
  assert.deepEqual(requested, ['v4.channel.k8s.io']);
  kubelet.once('message', (data: Buffer) => {
    assert.deepEqual(data, message(0, 'ping'));
    kubelet.send(message(0, 'pong'));
    kubelet.close(1000);
  });
  stream.write('ping');
  assert.equal(await text(stream), 'pong');
  if (!stream.closed) await once(stream, 'close');
});

test('a reader that stops holds the sender: little is kept here, nothing is lost', async () => {
  const { stream, kubelet } = await forward();
  const chunk = randomBytes(64 * 1024);
  const count = 512;
  const hash = createHash('sha256');
  for (let sent = 0; sent < count; sent += 1) {
    kubelet.send(message(0, chunk));
    hash.update(chunk);
  }
  stream.read(0);
  // What fits into both kernels' buffers has left the sender, the rest waits there.
  await until(() => stream.readableLength >= MIB, 'a full buffer here');
  for (let turn = 0; turn < 200; turn += 1) await setImmediate();
  assert.ok(stream.readableLength < 2 * MIB, `${stream.readableLength} bytes kept`);
  assert.ok(kubelet.bufferedAmount > 8 * MIB, `${kubelet.bufferedAmount} bytes wait at the sender`);
  const received = createHash('sha256');
  let bytes = 0;
  stream.on('data', (data: Buffer) => {
    received.update(data);
    bytes += data.byteLength;
    if (bytes === count * chunk.byteLength) stream.destroy();
  });
  await once(stream, 'close');
  assert.equal(received.digest('hex'), hash.digest('hex'));
});

test('a peer that stops reading holds our writer, and what was written arrives unchanged', async () => {
  const { stream, kubelet } = await forward();
  const payload = randomBytes(64 * MIB);
  const received: Buffer[] = [];
  let bytes = 0;
  const all = new Promise<void>((resolve) => {
    kubelet.on('message', (data: Buffer) => {
      if (received.length === 0) kubelet.pause();
      received.push(data.subarray(1));
      bytes += data.byteLength - 1;
      if (bytes === payload.byteLength) resolve();
    });
  });
  for (let at = 0; at < payload.byteLength; at += MIB) stream.write(payload.subarray(at, at + MIB));
  await until(() => received.length > 0, 'the first message');
  for (let turn = 0; turn < 100; turn += 1) await setImmediate();
  assert.ok(stream.writableLength > 16 * MIB, `only ${stream.writableLength} bytes still wait for the peer`);
  kubelet.resume();
  await all;
  assert.ok(Buffer.concat(received).equals(payload));
  stream.destroy();
});

test('the error channel’s text destroys the stream', async () => {
  const { stream, kubelet } = await forward();
  kubelet.send(message(1, 'an error occurred forwarding 8080 -> 8080: connection refused\n'));
  stream.resume();
  const [error] = await once(stream, 'error');
  assert.equal(
    errorText(error),
    'port-forward to x/web-1:8080: an error occurred forwarding 8080 -> 8080: connection refused',
  );
});

test('a lost connection is an error, never an orderly end', async () => {
  const { stream, kubelet } = await forward();
  kubelet.terminate();
  stream.resume();
  const [error] = await once(stream, 'error');
  assert.match(errorText(error), /the connection was lost \(1006\)/);
});

test('end() and destroy() close the WebSocket', async () => {
  const ended = await forward();
  const closed = once(ended.kubelet, 'close');
  ended.stream.end('last');
  const [last] = await once(ended.kubelet, 'message');
  assert.deepEqual(last, message(0, 'last'));
  assert.equal((await closed)[0], 1000);
  const destroyed = await forward();
  const gone = once(destroyed.kubelet, 'close');
  destroyed.stream.destroy();
  assert.equal((await gone)[0], 1006);
});

test('TLS runs over it', async () => {
  const { stream, kubelet } = await forward();
  const { Duplex } = await import('node:stream');
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      kubelet.send(message(0, chunk), done);
    },
  });
  kubelet.on('message', (data: Buffer) => wire.push(data.subarray(1)));
  const { cert, key } = serverCertificate;
  const pod = new tls.TLSSocket(wire, { isServer: true, cert, key });
  pod.on('data', (data) => pod.write(`you said ${String(data)}`));
  const secure = tls.connect({ socket: stream, rejectUnauthorized: false });
  secure.write('hello');
  const [answer] = await once(secure, 'data');
  assert.equal(String(answer), 'you said hello');
  secure.destroy();
  pod.destroy();
});

test('a refusal of the upgrade is the API server’s answer, a hang is given up by the signal', async () => {
  const denied =
    'pods "a" is forbidden: User "dev" cannot create resource "pods/portforward" in API group "" in the namespace "x"';
  const server = await wireServer((_request, response) => response.end());
  server.server.on('upgrade', (_request, socket) => {
    const body = JSON.stringify(statusObject(403, 'Forbidden', denied));
    socket.end(
      `HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  });
  const open = (url: string, signal: AbortSignal): Promise<unknown> =>
    accessTo(url).then((access) => openPortForward(access, { namespace: 'x', pod: 'a', port: 1, signal }));
  await assert.rejects(open(server.url, AbortSignal.timeout(5_000)), (error) => {
    assert.ok(isForbidden(error) && error instanceof InterceptorError);
    assert.match(error.hint ?? '', /resources \["pods\/portforward"\], verbs \["create"\]/);
    return true;
  });
  const silent = await wireServer((_request, response) => response.end());
  const stop = new AbortController();
  silent.server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {});
    stop.abort(new Error('enough'));
  });
  await assert.rejects(open(silent.url, stop.signal), /enough/);
});
