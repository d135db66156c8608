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
    assert.match(upstream.received, /^GET \/ HTTP\/1\.1\r\nHost: 127\.0\.0\.3:\d+\r\n/);
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
