import assert from 'node:assert/strict';
import { type EventEmitter, once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import * as http2 from 'node:http2';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { afterEach, beforeEach, test } from 'vitest';
import type { Answerer } from '../../../src/http/routing.ts';
import { tlsEnding } from '../../../src/net/tls.ts';
import { makeCertificate } from '../../support/test-certificates.ts';
import { ask, eventually, World } from './h2-world.ts';

const certificate = makeCertificate(['shop.test']);
const other = makeCertificate(['process.test']);

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(() => world.close());

interface Seen {
  readonly name: string;
  readonly serverName: string | false | null | undefined;
  readonly protocol: string | false | null;
}

/** A TLS server that answers HTTP/2 and HTTP/1.1 with its name. */
async function tlsApp(name: string, seen: Seen[], material = certificate): Promise<number> {
  const server = http2.createSecureServer(
    { ...material, allowHTTP1: true },
    (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
      response.end(`${name} ${request.httpVersion} ${request.url}`);
    },
  );
  server.on('secureConnection', (socket) => {
    const serverName: string | false | undefined = Reflect.get(socket, 'servername');
    seen.push({ name, serverName, protocol: socket.alpnProtocol });
  });
  server.on('sessionError', () => {});
  return await world.listen(server);
}

async function filtered(appPort: number, processPort: number, more: Partial<Answerer> = {}): Promise<number> {
  const app = world.answerer('app', appPort);
  const process = world.answerer('dev', processPort, { fallback: app, ...more });
  return await world.route((head) => ({ answerer: head.header('x-user') === 'dev' ? process : app }), {
    app,
    tls: tlsEnding({ certificate: certificate.cert, key: certificate.key }),
  });
}

function tlsCaller(port: number, options: tls.ConnectionOptions): tls.TLSSocket {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: certificate.cert, servername: 'shop.test', ...options });
  socket.on('error', () => {});
  world.onClose(() => socket.destroy());
  return socket;
}

async function h2Caller(port: number): Promise<http2.ClientHttp2Session> {
  const socket = tlsCaller(port, { ALPNProtocols: ['h2', 'http/1.1'] });
  await once(socket, 'secureConnect');
  assert.equal(socket.alpnProtocol, 'h2');
  return http2.connect('https://shop.test', { createConnection: () => socket });
}

async function http1(port: number, options: tls.ConnectionOptions, request: string): Promise<string> {
  const socket = tlsCaller(port, options);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write(request);
  await new Promise((resolve) => socket.once('close', resolve));
  return text;
}

test('HTTP/2 in TLS is routed request by request, and begun anew with the name and protocol of the caller', async () => {
  const seen: Seen[] = [];
  const port = await filtered(await tlsApp('app', seen), await tlsApp('process', seen, other));
  const client = await h2Caller(port);
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
    const port = await filtered(await tlsApp('app', seen), await tlsApp('process', seen, other));
    const options = ALPNProtocols === undefined ? {} : { ALPNProtocols };
    const text = await http1(
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
  const port = await filtered(await tlsApp('app', []), (plain.address() as AddressInfo).port);
  const client = await h2Caller(port);
  assert.equal((await ask(client, { 'x-user': 'dev', ':path': '/x' })).body, 'app 2.0 /x');
  client.close();
});

/** A TLS server that speaks just this, told apart by ALPN. */
async function only(name: string, ALPNProtocols: string[] | undefined): Promise<number> {
  const answer = (_request: unknown, response: { end(text: string): void }): void => response.end(name);
  const h2 = http2.createServer(answer);
  const h1 = createHttpServer(answer);
  const server = tls.createServer({ ...certificate, ...(ALPNProtocols && { ALPNProtocols }) }, (socket) => {
    socket.on('error', () => {});
    world.onClose(() => socket.destroy());
    (socket.alpnProtocol === 'h2' ? h2 : h1).emit('connection', socket);
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  world.onClose(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** What is chosen of what a caller offers, or the alert it gets. */
async function negotiated(port: number, ALPNProtocols: string[]): Promise<string | false | null | undefined> {
  const socket = tlsCaller(port, { ALPNProtocols });
  return await new Promise((resolve) => {
    socket.once('secureConnect', () => resolve(socket.alpnProtocol));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
}

/** Answers by the protocol that is chosen of both, without and with the key. */
async function asked(port: number): Promise<string[]> {
  const protocol = await negotiated(port, ['h2', 'http/1.1']);
  const answers = [String(protocol)];
  for (const user of ['else', 'dev']) {
    if (protocol === 'h2') {
      const client = await h2Caller(port);
      const { status, body } = await ask(client, { ':path': '/', 'x-user': user });
      answers.push(`${status} ${body.trim()}`);
      client.close();
    } else {
      const request = `GET / HTTP/1.1\r\nHost: shop.test\r\nX-User: ${user}\r\nConnection: close\r\n\r\n`;
      const text = await http1(port, { ALPNProtocols: ['h2', 'http/1.1'] }, request);
      answers.push(`${/^HTTP\/1.1 (\d+)/.exec(text)?.[1]} ${text.split('\r\n\r\n')[1]?.trim()}`);
    }
  }
  return answers;
}

for (const protocols of [['http/1.1'], undefined]) {
  test(`an app with ${protocols === undefined ? 'no ALPN' : 'HTTP/1.1 only'} is not asked for HTTP/2: callers are offered what it speaks`, async () => {
    const port = await filtered(await only('app', protocols), await only('process', protocols));
    assert.deepEqual(await asked(port), ['http/1.1', '200 app', '200 process']);
    assert.equal(await negotiated(port, ['h2']), 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
  });
}

test('an app that speaks both is offered as that, and one with HTTP/2 only as well', async () => {
  const both = await filtered(await tlsApp('app', []), await tlsApp('process', []));
  assert.deepEqual(await asked(both), ['h2', '200 app 2.0 /', '200 process 2.0 /']);
  assert.equal(await negotiated(both, ['http/1.1']), 'http/1.1');
  const h2 = await filtered(await only('app', ['h2']), await only('process', ['h2']));
  assert.deepEqual(await asked(h2), ['h2', '200 app', '200 process']);
  assert.equal(await negotiated(h2, ['http/1.1']), 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
});

test('a process without the protocol of its callers is as good as away: the app answers, and it is told', async () => {
  const lacks: string[] = [];
  for (const [app, process, lack] of [
    [['h2'], ['http/1.1'], 'h2'],
    [['h2', 'http/1.1'], undefined, 'h2'],
    [['http/1.1'], ['h2'], 'http/1.1'],
  ] as const) {
    const told = { lacks: (what: string) => void lacks.push(what) };
    const port = await filtered(
      await only('app', app && [...app]),
      await only('process', process && [...process]),
      told,
    );
    assert.deepEqual((await asked(port)).slice(1), ['200 app', '200 app'], lack);
    assert.deepEqual(lacks.splice(0), [lack]);
  }
});

test('who gets no answer for want of TLS or HTTP/2 in it reads that in words', async () => {
  const plain = createHttpServer().listen(0, '127.0.0.1');
  await once(plain, 'listening');
  world.onClose(() => plain.close());
  const process = await only('process', ['http/1.1']);
  const by = [['x-intercept-by', 'ann@tea']] as const;
  const refused = { requestFields: by, fallback: { status: 503, reason: 'nothing listens' } } as const;
  assert.deepEqual(await asked(await filtered(await only('app', ['h2']), process, refused)), [
    'h2',
    '200 app',
    '503 503: the process of ann@tea does not speak HTTP/2 in TLS here',
  ]);
  const answers = await asked(await filtered((plain.address() as AddressInfo).port, process));
  assert.deepEqual(answers, ['h2', ...Array(2).fill('502 502: the app does not speak TLS here')]);
});

test('an app is asked once for many callers, and again soon when it could not be reached', async () => {
  const seen: Seen[] = [];
  const appPort = await tlsApp('app', seen);
  let isThere = false;
  const app = world.answerer('app', 1, { connect: () => world.dial('app', isThere ? appPort : 1) });
  const ending = { app, tls: tlsEnding({ certificate: certificate.cert, key: certificate.key }) };
  const port = await world.route(() => ({ answerer: app }), ending);
  assert.equal(await negotiated(port, ['h2', 'http/1.1']), 'h2');
  assert.deepEqual(seen, []);
  isThere = true;
  await eventually(() => {
    void negotiated(port, ['h2', 'http/1.1']);
    return seen.length > 0;
  });
  await Promise.all([1, 2, 3].map(() => negotiated(port, ['h2', 'http/1.1'])));
  assert.equal(seen.length, 2);
});

test('a handshake that fails closes the caller and leaves nothing', async () => {
  const port = await filtered(1, 1);
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
  const port = await filtered(1, 1);
  const hello = await clientHello();
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
      const port = await filtered((server.address() as AddressInfo).port, 1);
      let how: string | undefined;
      const caller = tlsCaller(port, { ALPNProtocols: [protocol] });
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

/** The first bytes of a TLS client. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tlsCaller((server.address() as AddressInfo).port, {});
  const [connection] = (await once(server, 'connection')) as [Socket];
  const [hello] = (await once(connection, 'data')) as [Buffer];
  client.destroy();
  connection.destroy();
  server.close();
  return hello;
}

async function closed(side: EventEmitter): Promise<void> {
  await new Promise((resolve) => side.once('close', resolve));
}
