import assert from 'node:assert/strict';
import { type EventEmitter, once } from 'node:events';
import * as http2 from 'node:http2';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { tlsEnding } from '../../../src/net/tls.ts';
import { makeCertificate } from '../../support/test-certificates.ts';
import { ask, eventually } from './h2-world.ts';
import { certificate, type Seen, TlsWorld } from './tls-world.ts';

const other = makeCertificate(['process.test']);

let world: TlsWorld;
beforeEach(() => {
  world = new TlsWorld();
});
afterEach(() => world.close());

test('HTTP/2 in TLS is routed request by request, and begun anew with the name and protocol of the caller', async () => {
  const seen: Seen[] = [];
  const port = await world.filtered(await world.tlsApp('app', seen), await world.tlsApp('process', seen, other));
  const client = await world.h2Caller(port);
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, n) => ask(client, { ':path': `/${n}`, 'x-user': n % 2 ? 'dev' : 'else' })),
  );
  assert.deepEqual(
    answers.map(({ body }) => body),
    answers.map((_, n) => `${n % 2 ? 'process' : 'app'} 2.0 /${n}`),
  );
  assert.deepEqual(
    seen.map(({ name, serverName, protocol }) => `${name} ${serverName} ${protocol}`).sort(),
    // The app was asked twice before: for both, and whether HTTP/1.1 alone will do.
    ['app shop.test h2', 'app shop.test h2', 'app shop.test http/1.1', 'process shop.test h2'],
  );
  client.close();
  await eventually(() => world.routers === 0);
});

for (const ALPNProtocols of [['http/1.1'], undefined]) {
  test(`HTTP/1.1 in TLS is routed, with ${ALPNProtocols === undefined ? 'no ALPN' : 'ALPN http/1.1'}`, async () => {
    const seen: Seen[] = [];
    const port = await world.filtered(await world.tlsApp('app', seen), await world.tlsApp('process', seen, other));
    const options = ALPNProtocols === undefined ? {} : { ALPNProtocols };
    const text = await world.http1(
      port,
      options,
      'GET /1 HTTP/1.1\r\nHost: shop.test\r\nX-User: dev\r\n\r\nGET /2 HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n',
    );
    assert.match(text, /process 1\.1 \/1[\s\S]*app 1\.1 \/2/);
    await eventually(() => world.routers === 0);
  });
}

test('a process that does not speak TLS is not one that answers: the request goes to the app', async () => {
  const plain = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  });
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  world.onClose(() => plain.close());
  const port = await world.filtered(await world.tlsApp('app', []), (plain.address() as AddressInfo).port);
  const client = await world.h2Caller(port);
  assert.equal((await ask(client, { 'x-user': 'dev', ':path': '/x' })).body, 'app 2.0 /x');
  client.close();
});

test('a handshake that fails closes the caller and leaves nothing', async () => {
  const port = await world.filtered(1, 1);
  const caller = connectTcp(port, '127.0.0.1');
  caller.on('error', () => {});
  caller.write(Buffer.from([0x16, 0x03, 0x01, 0x00, 0x04, 1, 2, 3, 4]));
  caller.resume();
  await new Promise((resolve) => caller.once('close', resolve));
  await eventually(() => world.routers === 0);
});

test('a certificate without its key is told at once', () => {
  assert.throws(() => tlsEnding({ certificate: certificate.cert, key: 'none' }));
});

test('a caller that leaves in the middle of its handshake is let go at once', async () => {
  const port = await world.filtered(1, 1);
  const hello = await world.clientHello();
  for (const leave of ['end', 'resetAndDestroy'] as const) {
    const caller = connectTcp({ port, host: '127.0.0.1', allowHalfOpen: true });
    caller.on('error', () => {});
    caller.write(hello);
    await once(caller, 'data'); // the server's hello
    const leftMs = performance.now();
    caller[leave]();
    caller.resume();
    await eventually(() => world.routers === 0);
    assert.ok(performance.now() - leftMs < 1_000, `${leave}: ${performance.now() - leftMs} ms`);
    caller.destroy();
  }
});

for (const protocol of ['h2', 'http/1.1'] as const) {
  test(`an app that is cut in the middle of an answer by ${protocol} cuts its caller, too`, async () => {
    for (const cut of ['resetAndDestroy', 'destroy'] as const) {
      const below = new Set<Socket>();
      const server = http2.createSecureServer(
        { ...certificate, allowHTTP1: true },
        (_request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
          response.writeHead(200, { 'content-length': '1000' });
          response.write('some of it');
        },
      );
      server.on('connection', (socket: Socket) => below.add(socket.on('error', () => {})));
      server.on('sessionError', () => {});
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const port = await world.filtered((server.address() as AddressInfo).port, 1);
      let how: string | undefined;
      const caller = world.tlsCaller(port, { ALPNProtocols: [protocol] });
      caller.on('error', (error: NodeJS.ErrnoException) => {
        how = error.code;
      });
      await once(caller, 'secureConnect');
      if (protocol === 'h2') {
        const session = http2.connect('https://shop.test', { createConnection: () => caller });
        session.on('error', () => {});
        const stream = session.request({ ':path': '/' });
        stream.on('error', () => {});
        await once(stream, 'data');
        for (const socket of below) socket[cut]();
        await closed(stream);
        assert.notEqual(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR, cut);
        session.destroy();
      } else {
        caller.write('GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n');
        await once(caller, 'data');
        caller.resume();
        for (const socket of below) socket[cut]();
        await closed(caller);
        assert.equal(how, 'ECONNRESET', cut);
      }
      server.close();
      await eventually(() => world.routers === 0);
    }
  });
}

async function closed(side: EventEmitter): Promise<void> {
  await new Promise((resolve) => side.once('close', resolve));
}
