import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { createServer, request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { test } from 'vitest';
import type { TlsMaterial } from '../../../src/protocol/control.ts';
import { CERTIFICATE, startWorld } from './support/agent-world.ts';
import { makeCertificate } from './support/certificate.ts';
import { claimOf, intercept } from './support/claims.ts';
import { withHeader } from './support/http.ts';
import { acceptWith, refusalOf } from './support/session-double.ts';
import { until } from './support/tcp.ts';

const PEMS = { certificate: CERTIFICATE.tlsCert, key: CERTIFICATE.tlsKey };

/** A server that speaks TLS on the connections it is given, and answers with its name and the scheme it was asked by. */
function tlsServer(by: string): (connection: Duplex) => void {
  const server = createServer({ cert: PEMS.certificate, key: PEMS.key }, (_request, response) => response.end(by));
  return (connection) => {
    server.emit('connection', connection);
  };
}

function ask(port: number, user: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'x-user': user };
    const options = { host: '127.0.0.1', port, headers, rejectUnauthorized: false, agent: false };
    httpsRequest(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
    })
      .on('error', reject)
      .end();
  });
}

function claimWith(appPort: number, tls?: TlsMaterial): ReturnType<typeof claimOf> {
  const filter = withHeader('x-user', 'ann');
  return claimOf([intercept(appPort, { filter, to: 'laptop', ...(tls === undefined ? {} : { tls }) })]);
}

test('with a certificate TLS callers are routed by request, and app and process are spoken to in TLS', async () => {
  const world = await startWorld(tlsServer('app'));
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(tlsServer('ann')) });
  await session.request('claim', claimWith(world.appPort, PEMS));
  assert.equal(await ask(world.routePort, 'ann'), 'ann');
  assert.equal(await ask(world.routePort, 'bob'), 'app');
  assert.deepEqual(session.events, []);
  await world.close();
});

test('callers choose HTTP/2 only where the app speaks it, and a session whose process does not is told that once', async () => {
  const http1 = tlsServer('app');
  const both = createSecureServer({ cert: PEMS.certificate, key: PEMS.key, allowHTTP1: true }, (_request, response) =>
    response.end('app'),
  );
  for (const [app, protocol, events] of [
    [http1, 'http/1.1', []],
    [(connection: Duplex) => void both.emit('connection', connection), 'h2', [{ lacks: 'h2' }]],
  ] as const) {
    const world = await startWorld(app);
    const session = await world.dial({ user: 'ann', onIncoming: acceptWith(tlsServer('ann')) });
    await session.request('claim', claimWith(world.appPort, PEMS));
    const options = { host: '127.0.0.1', port: world.routePort, rejectUnauthorized: false };
    const caller = connectTls({ ...options, ALPNProtocols: ['h2', 'http/1.1'] });
    await once(caller, 'secureConnect');
    assert.equal(caller.alpnProtocol, protocol);
    if (protocol === 'h2') {
      const client = connectHttp2('https://web', { createConnection: () => caller });
      for (const path of ['/1', '/2']) {
        const stream = client.request({ ':path': path, 'x-user': 'ann' }).setEncoding('utf8');
        assert.equal((await once(stream, 'data'))[0], 'app');
      }
      client.close();
    } else caller.destroy();
    const { appPort } = world;
    assert.deepEqual(
      session.events,
      events.map((event) => ({ type: 'event', event: 'tls-lacks', appPort, ...event })),
    );
    assert.equal(await ask(world.routePort, 'ann'), 'ann');
    await world.close();
  }
});

test('in the place of a replaced app the process says what callers are offered', async () => {
  const world = await startWorld(tlsServer('nobody'), { appState: 'replaced' });
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(tlsServer('ann')) });
  await session.request('claim', claimWith(world.appPort, PEMS));
  const options = { host: '127.0.0.1', port: world.routePort, rejectUnauthorized: false };
  const caller = connectTls({ ...options, ALPNProtocols: ['h2', 'http/1.1'] });
  await once(caller, 'secureConnect');
  assert.equal(caller.alpnProtocol, 'http/1.1');
  caller.destroy();
  await world.close();
});

test('without one TLS callers have the app, and the session is told why its filter sees nothing', async () => {
  const world = await startWorld(tlsServer('app'));
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(tlsServer('ann')) });
  await session.request('claim', claimWith(world.appPort));
  assert.equal(await ask(world.routePort, 'ann'), 'app');
  assert.equal(await ask(world.routePort, 'ann'), 'app');
  await until(() => session.events.length > 0, 'it is told');
  assert.deepEqual(session.events, [{ type: 'event', event: 'not-http', appPort: world.appPort, speaks: 'tls' }]);
  await world.close();
});

test('a certificate and key in the volumes of the app serve as well, and what is wrong with them is said', async () => {
  const dir = await realpath(await mkdtemp(join(tmpdir(), 'kube-intercept-tls-')));
  const volumePlaces = { mountInfo: join(dir, 'mountinfo'), volumesDir: dir, secretsDir: join(dir, 'none') };
  await writeFile(volumePlaces.mountInfo, `1 0 0:1 / ${dir}/etc/tls rw - tmpfs tmpfs rw\n`);
  await mkdir(join(dir, 'etc/tls'), { recursive: true });
  await writeFile(join(dir, 'etc/tls/tls.crt'), PEMS.certificate);
  await writeFile(join(dir, 'etc/tls/tls.key'), PEMS.key);
  await writeFile(join(dir, 'etc/tls/other.key'), makeCertificate().tlsKey);
  const world = await startWorld(tlsServer('app'), { outgoing: { volumePlaces } });
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(tlsServer('ann')) });
  const paths = (certificate: string, key: string): TlsMaterial => ({
    certificatePath: `/etc/tls/${certificate}`,
    keyPath: `/etc/tls/${key}`,
  });
  const wrong: [TlsMaterial, RegExp][] = [
    [paths('tls.crt', 'other.key'), /does not fit/],
    [paths('none.crt', 'tls.key'), /\/etc\/tls\/none\.crt is not a file in the app's volumes/],
    [paths('../../../../etc/passwd', 'tls.key'), /not a file in the app's volumes/],
    [paths('tls.key', 'tls.key'), /no PEM certificate/],
    [{ certificate: PEMS.certificate, key: 'nonsense' }, /no PEM private key/],
  ];
  for (const [tls, reason] of wrong) {
    const error = await refusalOf(session.request('claim', claimWith(world.appPort, tls)));
    assert.equal(error.code, 'TLS_UNUSABLE');
    assert.match(error.message, reason);
    assert.ok(!error.message.includes('BEGIN'));
  }
  await session.request('claim', claimWith(world.appPort, paths('tls.crt', 'tls.key')));
  assert.equal(await ask(world.routePort, 'ann'), 'ann');
  await world.close();
  await rm(dir, { recursive: true });
});

test('a caller that breaks its handshake harms nobody', async () => {
  const world = await startWorld(tlsServer('app'));
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(tlsServer('ann')) });
  await session.request('claim', claimWith(world.appPort, PEMS));
  const strict = connectTls({ host: '127.0.0.1', port: world.routePort, rejectUnauthorized: true });
  await new Promise((resolve) => strict.on('error', resolve));
  assert.equal(await ask(world.routePort, 'ann'), 'ann');
  await world.close();
});

test('a cut below TLS in an answer without a length reaches the caller as a reset, from app and laptop', async () => {
  const below: Duplex[] = [];
  const server = createServer({ cert: PEMS.certificate, key: PEMS.key, keepAlive: false }, (_request, response) => {
    response.useChunkedEncodingByDefault = false;
    response.setHeader('connection', 'close');
    response.write('some of it');
  });
  const serve = (connection: Duplex & { resetAndDestroy?: () => unknown }): void => {
    connection.on('error', () => {});
    below.push(connection);
    server.emit('connection', connection);
  };
  const world = await startWorld(serve);
  const session = await world.dial({ user: 'ann', onIncoming: acceptWith(serve) });
  await session.request('claim', claimWith(world.appPort, PEMS));
  for (const user of ['bob', 'ann']) {
    let how: string | undefined = 'end';
    const caller = connectTls({ host: '127.0.0.1', port: world.routePort, rejectUnauthorized: false });
    caller.on('error', (error: NodeJS.ErrnoException) => {
      how = error.code;
    });
    caller.write(`GET / HTTP/1.1\r\nHost: web\r\nx-user: ${user}\r\n\r\n`);
    let text = '';
    caller.on('data', (part) => {
      text += part;
    });
    await until(() => text.includes('some of it'), 'the answer has begun');
    for (const connection of below.splice(0))
      if ('resetAndDestroy' in connection && typeof connection.resetAndDestroy === 'function')
        connection.resetAndDestroy();
    await new Promise((resolve) => caller.once('close', resolve));
    assert.equal(how, 'ECONNRESET', user);
  }
  await world.close();
});
