import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { beginsLikeHttp, KeepAlive } from '../../../agent/keep-alive.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

/** How long a connection with these bytes is idle after a second. */
function idleAfter(asked: readonly string[], answered: readonly string[]): number {
  const keepAlive = new KeepAlive();
  for (const chunk of asked) keepAlive.asked(Buffer.from(chunk));
  for (const chunk of answered) keepAlive.answered(Buffer.from(chunk));
  vi.advanceTimersByTime(1_000);
  return keepAlive.idleMs;
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test('a connection is idle once its answer is complete, wherever it is cut', () => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  ];
  for (const answer of answers)
    for (let at = answer.indexOf('\r\n\r\n') + 4; at <= answer.length; at++)
      assert.equal(
        idleAfter([GET], [answer.slice(0, at), answer.slice(at)].filter(Boolean)),
        1_000,
        answer.slice(0, at),
      );
});

test('what may be under way is never idle', () => {
  const rows: [string[], string[]][] = [
    [[GET], []],
    [[GET], ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell']],
    [[GET], ['HTTP/1.1 200 OK\r\nContent-Le']],
    [[GET], ['HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n']],
    [[GET], ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n']],
    [[GET], ['HTTP/1.1 100 Continue\r\n\r\n']],
    [[GET], ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n']],
    [['HEAD / HTTP/1.1\r\n\r\n'], ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n']],
    [['*1\r\n$4\r\nPING\r\n'], ['+PONG\r\n']],
    [['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], ['\x00\x00\x00\x04\x00']],
    [[''], ['220 smtp ready\r\n']],
  ];
  for (const [asked, answered] of rows) assert.equal(idleAfter(asked, answered), 0, JSON.stringify([asked, answered]));
});

test('a next request ends the idle time', () => {
  const keepAlive = new KeepAlive();
  keepAlive.asked(Buffer.from(GET));
  keepAlive.answered(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  vi.advanceTimersByTime(500);
  assert.equal(keepAlive.idleMs, 500);
  keepAlive.asked(Buffer.from(GET));
  assert.equal(keepAlive.idleMs, 0);
});

test('requests are told from other bytes by their first line', () => {
  for (const text of [GET, 'OPTIONS * HTTP/1.0\r\n', 'GET /a?b=c HTTP/1.1'])
    assert.ok(beginsLikeHttp(Buffer.from(text)));
  for (const text of ['', 'PING\r\n', '\x16\x03\x01', 'get / http/1.1', 'SSH-2.0-x\r\n', 'GET / FTP/1'])
    assert.ok(!beginsLikeHttp(Buffer.from(text)), text);
});
