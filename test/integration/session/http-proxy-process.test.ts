import assert from 'node:assert/strict';
import { onTestFinished, test, vi } from 'vitest';
import { Listener, onStage } from './http-proxy-fixture.ts';

const GET = 'GET /page?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('when nothing listens the caller gets a 502 that says why and what to do', () =>
  onStage({}, async (stage) => {
    await stage.process.close();
    const caller = (await stage.caller()).send(GET);
    await caller.has('\r\n\r\n');
    await caller.has('--port');
    assert.match(caller.received, /^HTTP\/1\.1 502 Bad Gateway\r\n/);
    assert.match(caller.received, /\r\nx-kube-intercept: process-unreachable\r\n/);
    assert.match(caller.received, /\r\ncontent-type: text\/plain; charset=utf-8\r\n/);
    assert.match(caller.received, /nothing listens on 127\.0\.0\.3 port \d+ \(ECONNREFUSED\)/);
    const { ms, ...record } = (await stage.recorded(1))[0] ?? { ms: -1 };
    assert.ok(ms >= 0);
    assert.deepEqual(
      { ...record, error: '' },
      { method: 'GET', path: '/page', status: 502, bytesUp: 0, bytesDown: 0, error: '' },
    );
  }));

test('a browser gets the 502 as a page', () =>
  onStage({}, async (stage) => {
    await stage.process.close();
    const caller = (await stage.caller()).send('GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html,*/*;q=0.8\r\n\r\n');
    await caller.has('</h1>');
    assert.match(caller.received, /\r\ncontent-type: text\/html; charset=utf-8\r\n/);
  }));

test.each([
  ['a GET', GET],
  ['a POST', 'POST /page HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'],
])('%s waits for a process that is being restarted', (_, request) =>
  onStage({ holdMs: 5000 }, (stage) =>
    onStage({ target: { host: '127.0.0.3', port: stage.process.port } }, async (impatient) => {
      const { port } = stage.process;
      await stage.process.close();
      const caller = (await stage.caller()).send(request);
      // Once another, later request was refused, this one's first dial was too.
      await (await impatient.caller()).send(GET).has('process-unreachable');
      const restarted = await Listener.open(port);
      try {
        const upstream = await restarted.next();
        await upstream.has(request.endsWith('abc') ? 'abc' : '/page');
        upstream.send(OK);
        await caller.has('ok');
        assert.equal((await stage.recorded(1))[0]?.status, 200);
      } finally {
        await restarted.close();
      }
    }),
  ),
);

test('a caller that leaves while its request waits ends the waiting', () =>
  onStage({ holdMs: 60_000 }, async (stage) => {
    const caller = await stage.servedCaller();
    await stage.process.close();
    caller.send(GET);
    caller.socket.resetAndDestroy();
    const [, record] = await stage.recorded(2);
    assert.equal(record?.error, 'the caller left');
  }));

test('a request on a kept connection that the process just closed is sent once more, on a fresh one', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(OK);
    await caller.has('ok');
    caller.take();
    upstream.take();
    upstream.socket.once('data', () => upstream.socket.resetAndDestroy()); // the race: closed as the request arrives
    caller.send(GET);
    const second = await (await stage.process.next()).has('GET /page');
    second.send(OK);
    await caller.has('ok');
    assert.equal(caller.received, OK);
    assert.equal((await stage.recorded(2))[1]?.status, 200);
  }));

test('it is sent once more only once', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(OK);
    await caller.has('ok');
    caller.take();
    stage.process.onPeer = (peer) => peer.socket.once('data', () => peer.socket.resetAndDestroy());
    upstream.socket.once('data', () => upstream.socket.resetAndDestroy());
    caller.send(GET);
    await caller.has('process-hung-up');
    assert.equal(stage.process.all.length, 2);
  }));

test('when the process is gone after that, the caller is told that the connection broke during its request', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(OK);
    await caller.has('ok');
    caller.take();
    const crashed = new Promise<void>((resolve, reject) => {
      upstream.socket.once('data', () => stage.process.close().then(resolve, reject));
    });
    caller.send(GET);
    await caller.has('may have made it crash');
    await crashed;
    assert.match(caller.received, /\r\nx-kube-intercept: process-hung-up\r\n/);
    assert.match(caller.received, /broke during this request, and now nothing listens on 127\.0\.0\.3 port \d+/);
    assert.match((await stage.recorded(2))[1]?.error ?? '', /broke during this request/);
  }));

test('a record tells whole milliseconds', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(OK);
    await caller.has('ok');
    const [record] = await stage.recorded(1);
    assert.ok(Number.isInteger(record?.ms), String(record?.ms));
  }));

test.each([
  ['a POST', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n', ''],
  ['a PUT with a body', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx', ''],
  ['a GET whose answer began', GET, 'HTTP/1.1 2'],
  ['a GET with early hints', GET, 'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n'],
])('%s is never sent twice', (_, request, part) =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(OK);
    await caller.has('ok');
    upstream.socket.once('data', () => {
      upstream.socket.write(part);
      upstream.socket.end();
    });
    caller.take();
    caller.send(request);
    await caller.has('HTTP/1.1 502');
    assert.equal(stage.process.all.length, 1);
  }),
);

test('a POST takes no connection that has been unused for over a second', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(OK);
    await caller.has('ok');
    const now = performance.now.bind(performance);
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 1001);
    caller.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
    await (await stage.process.next()).has('POST /');
  }));

test.each([
  ['nothing', '', 'process-hung-up'],
  ['no HTTP', 'SSH-2.0-x\r\n', 'process-malformed'],
  [
    'Content-Length beside Transfer-Encoding',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'process-malformed',
  ],
  [
    'a 101 nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
    'process-hung-up',
  ],
])('a process that answers with %s gives a 502', (_, answer, kind) =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    upstream.send(answer);
    upstream.socket.end();
    await caller.has(`x-kube-intercept: ${kind}\r\n`);
  }),
);

test('an answer that comes before the body is read reaches the caller, and the connection to the process is not used again', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
    upstream.send('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
    await caller.has('413');
    await upstream.until((u) => u.ended || u.closedBy !== undefined, 'the end at the process');
    caller.take();
    caller.send(`def${GET}`);
    const next = await (await stage.process.next()).has('GET /page');
    next.send(OK);
    await caller.has('ok');
  }));

test('close resets callers and process connections and can be called twice', () =>
  onStage({}, async (stage) => {
    const { caller, upstream } = await stage.request(GET);
    assert.equal(stage.proxy.openConnections, 1);
    await Promise.all([stage.proxy.close(), stage.proxy.close()]);
    assert.equal(stage.proxy.openConnections, 0);
    await caller.closed();
    assert.equal(caller.closedBy, 'reset');
    await upstream.until((u) => u.ended || u.closedBy !== undefined, 'the end at the process');
  }));

test('the signal closes as close does', async () => {
  const abort = new AbortController();
  await onStage({ signal: abort.signal }, async (stage) => {
    const { caller } = await stage.request(GET);
    abort.abort();
    await caller.closed();
  });
});
