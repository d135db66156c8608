import assert from 'node:assert/strict';
import * as http from 'node:http';
import { connect, createServer } from 'node:net';
import { test } from 'vitest';
import { clientFor, failure, listen, POD, sendJson, wireServer } from './api-fixture.ts';

test('requests go through an HTTP proxy with its password, and its refusal is reported without it', async () => {
  const server = await wireServer((_request, response) => sendJson(response, 200, POD));
  const seen: (string | undefined)[] = [];
  const proxy = http.createServer();
  proxy.on('connect', (request: http.IncomingMessage, socket) => {
    seen.push(`${request.url} ${request.headers['proxy-authorization']}`);
    if (request.headers['proxy-authorization'] !== `Basic ${Buffer.from('me:pw').toString('base64')}`) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const out = connect(server.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(out).pipe(socket);
    });
    out.on('error', () => socket.destroy());
    socket.on('error', () => out.destroy());
  });
  const port = await listen(proxy);
  const through = await clientFor(server.url, { cluster: { 'proxy-url': `http://me:pw@127.0.0.1:${port}` } });
  assert.deepEqual(await through.get('/a'), POD);
  assert.equal(seen[0], `127.0.0.1:${server.port} Basic ${Buffer.from('me:pw').toString('base64')}`);
  const refused = await clientFor(server.url, { cluster: { 'proxy-url': `http://me:wrong@127.0.0.1:${port}` } });
  const error = await failure(refused.get('/a'));
  assert.match(
    error.message,
    /through the proxy http:\/\/127.0.0.1:\d+: refused by the proxy \(the proxy answered 407/,
  );
  assert.doesNotMatch(error.message, /wrong/);
});

test('requests go through a SOCKS 5 proxy, which gets the name', async () => {
  const server = await wireServer((_request, response) => sendJson(response, 200, POD));
  let asked = '';
  const proxy = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(Buffer.from([5, 0]));
      socket.once('data', (request) => {
        const length = request[4] ?? 0;
        asked = `${request.subarray(5, 5 + length).toString()}:${request.readUInt16BE(5 + length)}`;
        const out = connect(server.port, '127.0.0.1', () => {
          socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
          socket.pipe(out).pipe(socket);
        });
        out.on('error', () => socket.destroy());
        socket.once('close', () => out.destroy());
      });
    });
  });
  const port = await listen(proxy);
  const cluster = { 'proxy-url': `socks5://127.0.0.1:${port}` };
  const client = await clientFor(`https://localhost:${server.port}`, { cluster });
  assert.deepEqual(await client.get('/a'), POD);
  assert.equal(asked, `localhost:${server.port}`);
});
