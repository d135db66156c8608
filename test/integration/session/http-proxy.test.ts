import assert from 'node:assert/strict';
import { test } from 'vitest';
import { onStage } from './http-proxy-fixture.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('a request and its answer pass byte by byte: case, order, duplicates, bytes above 127', () =>
  onStage({}, async (stage) => {
    const request =
      'GET /a HTTP/1.1\r\nhOsT: shop\r\nX-A: 1\r\nx-b: 2\r\nx-a: 3\r\nX-A: 1\r\nAccept:\r\nX-L: caf\xe9\r\nConnection: keep-alive\r\n\r\n';
    const { caller, upstream } = await stage.request(request);
    assert.equal(
      upstream.take(),
      'GET /a HTTP/1.1\r\nhOsT: shop\r\nX-A: 1\r\nx-b: 2\r\nx-a: 3\r\nX-A: 1\r\nAccept: \r\nX-L: caf\xe9\r\nConnection: keep-alive\r\n\r\n',
    );
    const answer =
      'HTTP/1.1 207 Caf\xe9 \r\nset-Cookie: a=1\r\nX: 1\r\nSet-cookie: b=2\r\nx: 2\r\ncontent-LENGTH: 3\r\n\r\n\x00\xffz';
    upstream.send(answer);
    await caller.has('\xffz');
    assert.equal(caller.received, answer.replace('Caf\xe9 \r', 'Caf\xe9 \r'));
  }));

test.each(['//a/../b?x=//c', '/%2e%2e/%zz?[]', 'http://user:pw@other:99/x//y?q', '*', '/a?http://b'])(
  'the target %s is sent as it came',
  (target) =>
    onStage({}, async (stage) => {
      const { caller, upstream } = await stage.request(`OPTIONS ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.equal(upstream.received.split('\r\n')[0], `OPTIONS ${target} HTTP/1.1`);
      upstream.send(OK);
      await caller.has('ok');
      const [record] = await stage.recorded(1);
      assert.match(record?.path ?? '', /^[^?@]*$/);
    }),
);

test.each(['DELETE', 'OPTIONS', 'GET', 'POST'])(
  'a %s with a chunked body stays chunked, so that its body is no request',
  (method) =>
    onStage({}, async (stage) => {
      const { caller, upstream } = await stage.request(
        `${method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\nGET /smuggled HTTP/1.1\r\nHost\r\n0\r\n\r\n`,
      );
      await upstream.has('0\r\n\r\n');
      assert.equal(
        upstream.received,
        `${method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n1c\r\nGET /smuggled HTTP/1.1\r\nHost\r\n0\r\n\r\n`,
      );
      upstream.send(OK);
      await caller.has('ok');
      assert.equal((await stage.recorded(1))[0]?.bytesUp, 28);
    }),
);

test.each(['POST', 'PUT', 'DELETE', 'GET', 'PATCH'])('a %s without a body has none at the process', (method) =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.doesNotMatch(upstream.received, /transfer-encoding/i);
    upstream.send(OK);
    await caller.has('ok');
  }),
);

test('a request for an HTTP/1.0 caller is answered without chunks and ends with the connection', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.0\r\n\r\n');
    assert.match(upstream.received, /^GET \/ HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/);
    upstream.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
    await caller.until((c) => c.ended, 'the end');
    assert.equal(caller.received, 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok');
  }));

test('an answer that ends with its connection reaches the caller whole and the connection stays', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    upstream.send('HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello');
    upstream.socket.end();
    await caller.has('0\r\n\r\n');
    assert.equal(
      caller.received,
      'HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
    );
    assert.equal(caller.ended, false);
  }));

test('trailers pass in both directions', () =>
  onStage({}, async (stage) => {
    const body = '2\r\nhi\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n';
    const head = 'Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n';
    const { caller, upstream } = await stage.request(`POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n${head}${body}`);
    await upstream.has('x-sum: 2\r\n\r\n');
    assert.ok(upstream.received.endsWith(body));
    upstream.send(`HTTP/1.1 200 OK\r\n${head}${body}`);
    await caller.has('x-sum: 2\r\n\r\n');
    assert.equal(caller.received, `HTTP/1.1 200 OK\r\n${head}${body}`);
  }));

test('early hints and other interim answers pass byte by byte before the answer', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const interim =
      'HTTP/1.1 103 Early Hints\r\nLINK: </a.css>; rel=preload\r\nx-odd: 1\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n';
    upstream.send(interim);
    await caller.has(interim);
    upstream.send(OK);
    await caller.has('ok');
    assert.equal(caller.received, interim + OK);
  }));

test('server-sent events pass one by one, and their head before the first of them', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    upstream.send('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    await caller.has('\r\n\r\n');
    for (const event of ['one', 'two']) {
      upstream.send(`3\r\n${event}\r\n`);
      await caller.has(event);
    }
  }));

test.each(['fin', 'reset'] as const)(
  'when the caller leaves an endless answer by a %s the process sees its connection close',
  (how) =>
    onStage({}, async (stage) => {
      const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      upstream.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
      await caller.has('a\r\n');
      if (how === 'fin') caller.socket.destroy();
      else caller.socket.resetAndDestroy();
      await upstream.until((u) => u.ended || u.closedBy !== undefined, 'the end at the process');
      const [record] = await stage.recorded(1);
      assert.equal(record?.status, 200);
      assert.equal(record?.error, 'the caller left');
    }),
);

test('when the caller leaves before the answer the process sees its connection close', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
    caller.socket.destroy();
    await upstream.until((u) => u.ended || u.closedBy !== undefined, 'the end at the process');
    assert.equal((await stage.recorded(1))[0]?.status, 0);
  }));

test('a caller that half-closes after its request still gets the answer', () =>
  onStage({}, async (stage) => {
    const caller = (await stage.caller()).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    caller.socket.end();
    const upstream = await (await stage.process.next()).has('\r\n\r\n');
    upstream.send(OK);
    await caller.until((c) => c.ended, 'the end');
    assert.match(caller.received, /ok$/);
  }));

test.each([
  ['Content-Length: 10', 'abc'],
  ['Transfer-Encoding: chunked', '3\r\nabc\r\n'],
])('when the process resets in the middle of an answer with %s the caller sees a reset', (framing, part) =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    upstream.send(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n${part}`);
    await caller.has(part);
    upstream.socket.resetAndDestroy();
    await caller.closed();
    assert.equal(caller.closedBy, 'reset');
    assert.match((await stage.recorded(1))[0]?.error ?? '', /^answer cut/);
  }),
);

test('when the process ends an answer early in order the caller sees a reset all the same', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    upstream.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
    await caller.has('abc');
    upstream.socket.end();
    await caller.closed();
    assert.equal(caller.closedBy, 'reset');
  }));

test('requests of one caller and of several share connections to the process', () =>
  onStage({}, async (stage) => {
    stage.process.onPeer = (peer) => peer.socket.on('data', () => peer.send(OK));
    const [one, two] = [await stage.caller(), await stage.caller()];
    for (let n = 0; n < 5; n += 1) {
      for (const caller of [one, two]) {
        caller.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        await caller.has('ok');
        assert.equal(caller.take(), OK);
      }
    }
    assert.equal(stage.process.all.length, 1);
    assert.equal((await stage.recorded(10)).length, 10);
  }));

test('pipelined requests are passed and answered one after another', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(
      'POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /2 HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    await upstream.has('\r\n\r\nx');
    upstream.send('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nonehalf'.slice(0, -4));
    await upstream.has('GET /2');
    upstream.send('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo');
    await caller.has('two');
    assert.ok(caller.received.indexOf('one') < caller.received.indexOf('two'));
    assert.equal(stage.process.all.length, 1);
  }));

test.each([
  ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'],
  ['HEAD', 'HTTP/1.1 200 OK\r\nX: no length\r\n\r\n'],
  ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: "a"\r\n\r\n'],
  ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['POST', 'HTTP/1.1 204 No Content\r\n\r\n'],
])('to %s the answer %j passes as it is and the connection goes on', (method, answer) =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(`${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n`);
    upstream.take();
    upstream.send(answer);
    await caller.has('\r\n\r\n');
    assert.equal(caller.take(), answer);
    // Without a length Node takes the answer to HEAD for the last on its connection and dials again.
    stage.process.onPeer = (peer) => peer.socket.once('data', () => peer.send(OK));
    upstream.socket.once('data', () => upstream.send(OK));
    caller.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
    await caller.has('ok');
    assert.equal(caller.received, OK);
  }),
);

test('a caller that expects 100-continue is told to go on by the process, not by us', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(
      'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n',
    );
    assert.match(upstream.received, /\r\nExpect: 100-continue\r\n/);
    assert.equal(caller.received, '');
    upstream.send('HTTP/1.1 100 Continue\r\n\r\n');
    await caller.has('HTTP/1.1 100 Continue\r\n\r\n');
    caller.send('body');
    await upstream.has('\r\n\r\nbody');
    upstream.send(OK);
    await caller.has('ok');
    assert.equal(caller.received, `HTTP/1.1 100 Continue\r\n\r\n${OK}`);
  }));

test('a refusal instead of 100 reaches the caller, and the connection ends after it', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(
      'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n',
    );
    upstream.send('HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n');
    await caller.until((c) => c.ended, 'the end');
    assert.equal(caller.received, 'HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    await upstream.until((u) => u.ended, 'the end at the process');
  }));

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

test('a fast process is held back by a slow caller', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const total = 64 * 1024 * 1024;
    caller.socket.pause();
    upstream.send(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
    const chunk = Buffer.alloc(1024 * 1024);
    let sent = 0;
    const pump = (): void => {
      while (sent < total) {
        sent += chunk.length;
        if (!upstream.socket.write(chunk)) return;
      }
    };
    upstream.socket.on('drain', pump);
    pump();
    // Writes stop once the kernel's buffers are full; were the proxy reading on, all would be taken.
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(sent < total / 2, `${sent} bytes taken for a caller that reads nothing`);
    let received = 0;
    caller.socket.removeAllListeners('data');
    caller.socket.on('data', (data) => {
      received += data.length;
    });
    caller.socket.resume();
    const [record] = await stage.recorded(1);
    assert.equal(record?.bytesDown, total);
    assert.ok(received > 0);
  }));
