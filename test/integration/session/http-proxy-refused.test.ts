import assert from 'node:assert/strict';
import { test } from 'vitest';
import { onStage } from './http-proxy-fixture.ts';

test('CONNECT is refused cleanly and never reaches the process', () =>
  onStage({}, async (stage) => {
    const caller = (await stage.caller()).send('CONNECT other:443 HTTP/1.1\r\nHost: other\r\n\r\n');
    await caller.until((c) => c.ended, 'the end');
    assert.match(caller.received, /^HTTP\/1\.1 405 /);
    assert.equal(stage.process.all.length, 0);
    assert.equal(stage.records[0]?.status, 405);
  }));

const CHUNKED = 'Transfer-Encoding: chunked\r\n';

test.each([
  [
    'Content-Length with Transfer-Encoding',
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n${CHUNKED}\r\n0\r\n\r\n`,
  ],
  ['two Content-Lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc'],
  ['a list as Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc'],
  ['a sign in Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc'],
  ['a folded line', 'GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n'],
  ['a folded Transfer-Encoding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n'],
  ['bare LF', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['bare LF in the fields', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n'],
  ['bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\rZ: 1\r\n\r\n'],
  ['a space before the colon', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
  ['an unknown coding', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  ['chunked twice', `POST / HTTP/1.1\r\nHost: a\r\n${CHUNKED}${CHUNKED}\r\n0\r\n\r\n`],
  ['chunked not last', 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
  [
    'an empty Transfer-Encoding with Content-Length',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\nContent-Length: 3\r\n\r\nabc',
  ],
  ['chunks in HTTP/1.0', `POST / HTTP/1.0\r\nHost: a\r\n${CHUNKED}\r\n0\r\n\r\n`],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ['a byte above 127 in its target', 'GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n'],
])('a request with %s is refused with 400 and never reaches the process', (_, request) =>
  onStage({}, async (stage) => {
    const caller = (await stage.caller()).send(request);
    await caller.until((c) => c.ended, 'the end');
    assert.match(caller.received, /^HTTP\/1\.1 400 (?:.|\r\n)*\r\n\r\n/);
    assert.equal(stage.process.all.length, 0);
    caller.socket.end();
    await caller.closed();
  }),
);

test.each(['3\nabc\r\n0\r\n\r\n', '3\r\nabc\n0\r\n\r\n', '0x3\r\nabc\r\n0\r\n\r\n', '3;a=\nb\r\nabc\r\n0\r\n\r\n'])(
  'the malformed chunk %j ends the connection, and the process never sees its end',
  (body) =>
    onStage({}, async (stage) => {
      const caller = (await stage.caller()).send(`POST / HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n${body}`);
      await caller.until((c) => c.ended || c.closedBy !== undefined, 'the end');
      for (const upstream of stage.process.all) assert.doesNotMatch(upstream.received, /\r\n0\r\n\r\n$/);
    }),
);

test('a head too large is refused with 431, one of 200 KiB and 3000 fields passes', () =>
  onStage({}, async (stage) => {
    const big = await stage.caller();
    big.send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(300 * 1024)}\r\n\r\n`);
    await big.until((c) => c.ended || c.closedBy !== undefined, 'the end');
    const fields = Array.from({ length: 3000 }, (_, n) => `X-${n}: ${'y'.repeat(50)}\r\n`).join('');
    const { caller, upstream } = await stage.request(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
    assert.ok(upstream.received.includes(fields));
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${fields}\r\nok`);
    await caller.has('\r\n\r\nok');
    assert.ok(caller.received.includes(fields));
  }));
