import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { tlsEnding } from '../../../src/net/tls.ts';
import { eventually } from './h2-world.ts';
import { certificate, type Seen, TlsWorld } from './tls-world.ts';

let world: TlsWorld;
beforeEach(() => {
  world = new TlsWorld();
});
afterEach(() => world.close());

for (const protocols of [['http/1.1'], undefined]) {
  test(`an app with ${protocols === undefined ? 'no ALPN' : 'HTTP/1.1 only'} is not asked for HTTP/2: callers are offered what it speaks`, async () => {
    const port = await world.filtered(await world.only('app', protocols), await world.only('process', protocols));
    assert.deepEqual(await world.asked(port), ['http/1.1', '200 app', '200 process']);
    assert.equal(await world.negotiated(port, ['h2']), 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
  });
}

test('an app that speaks both is offered as that, and one with HTTP/2 only as well', async () => {
  const both = await world.filtered(await world.tlsApp('app', []), await world.tlsApp('process', []));
  assert.deepEqual(await world.asked(both), ['h2', '200 app 2.0 /', '200 process 2.0 /']);
  assert.equal(await world.negotiated(both, ['http/1.1']), 'http/1.1');
  const h2 = await world.filtered(await world.only('app', ['h2']), await world.only('process', ['h2']));
  assert.deepEqual(await world.asked(h2), ['h2', '200 app', '200 process']);
  assert.equal(await world.negotiated(h2, ['http/1.1']), 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL');
});

test('a process without the protocol of its callers is as good as away: the app answers, and it is told', async () => {
  const lacks: string[] = [];
  for (const [app, process, lack] of [
    [['h2'], ['http/1.1'], 'h2'],
    [['h2', 'http/1.1'], undefined, 'h2'],
    [['http/1.1'], ['h2'], 'http/1.1'],
  ] as const) {
    const told = { lacks: (what: string) => void lacks.push(what) };
    const port = await world.filtered(
      await world.only('app', app && [...app]),
      await world.only('process', process && [...process]),
      told,
    );
    assert.deepEqual((await world.asked(port)).slice(1), ['200 app', '200 app'], lack);
    assert.deepEqual(lacks.splice(0), [lack]);
  }
});

test('who gets no answer for want of TLS or HTTP/2 in it reads that in words', async () => {
  const plain = createHttpServer().listen(0, '127.0.0.1');
  await once(plain, 'listening');
  world.onClose(() => plain.close());
  const process = await world.only('process', ['http/1.1']);
  const by = [['x-intercept-by', 'ann@tea']] as const;
  const refused = { requestFields: by, fallback: { status: 503, reason: 'nothing listens' } } as const;
  assert.deepEqual(await world.asked(await world.filtered(await world.only('app', ['h2']), process, refused)), [
    'h2',
    '200 app',
    '503 503: the process of ann@tea does not speak HTTP/2 in TLS here',
  ]);
  const answers = await world.asked(await world.filtered((plain.address() as AddressInfo).port, process));
  assert.deepEqual(answers, ['h2', ...Array(2).fill('502 502: the app does not speak TLS here')]);
});

test('an app is asked once for many callers, and again soon when it could not be reached', async () => {
  const seen: Seen[] = [];
  const appPort = await world.tlsApp('app', seen);
  let isThere = false;
  const app = world.answerer('app', 1, { connect: () => world.dial('app', isThere ? appPort : 1) });
  const ending = { app, tls: tlsEnding({ certificate: certificate.cert, key: certificate.key }) };
  const port = await world.route(() => ({ answerer: app }), ending);
  assert.equal(await world.negotiated(port, ['h2', 'http/1.1']), 'h2');
  assert.deepEqual(seen, []);
  isThere = true;
  await eventually(() => {
    void world.negotiated(port, ['h2', 'http/1.1']);
    return seen.length > 0;
  });
  await Promise.all([1, 2, 3].map(() => world.negotiated(port, ['h2', 'http/1.1'])));
  assert.equal(seen.length, 2);
});
