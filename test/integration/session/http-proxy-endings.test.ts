import assert from 'node:assert/strict';
import { test } from 'vitest';
import { onStage } from './http-proxy-fixture.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

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
