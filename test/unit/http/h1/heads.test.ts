import assert from 'node:assert/strict';
import { test } from 'vitest';
import { BadMessage } from '../../../../src/http/h1/bad-message.ts';
import { opensTunnel, responseBody } from '../../../../src/http/h1/framing.ts';
import { HeadBytes } from '../../../../src/http/h1/head-bytes.ts';
import { withFields } from '../../../../src/http/h1/head-edit.ts';
import { LARGE_HEAD_BYTES, MAX_LARGE_HEADS } from '../../../../src/http/h1/limits.ts';
import { H1RequestHead } from '../../../../src/http/h1/request-head.ts';
import { H1ResponseHead } from '../../../../src/http/h1/response-head.ts';

const requestOf = (line: string, fields = 'Host: a\r\n'): H1RequestHead =>
  new H1RequestHead(Buffer.from(`${line}\r\n${fields}\r\n`, 'latin1'));
const responseOf = (line: string, fields = ''): H1ResponseHead =>
  new H1ResponseHead(Buffer.from(`HTTP/1.1 ${line}\r\n${fields}\r\n`, 'latin1'));

for (const [line, path, query, authority] of [
  ['GET /a/b?c=d?e HTTP/1.1', '/a/b', 'c=d?e', 'a'],
  ['GET //x/../y HTTP/1.1', '//x/../y', '', 'a'],
  ['GET /a#b?c HTTP/1.1', '/a', '', 'a'],
  ['GET http://Other:81/x?y HTTP/1.1', '/x', 'y', 'Other:81'],
  ['GET http://other?y HTTP/1.1', '', 'y', 'other'],
  ['OPTIONS * HTTP/1.1', '*', '', 'a'],
  ['CONNECT h:443 HTTP/1.1', '', '', 'h:443'],
] as const) {
  test(`filters see of "${line}" path "${path}", query "${query}" and authority "${authority}"`, () => {
    const head = requestOf(line);
    assert.deepEqual([head.path, head.query, head.authority], [path, query, authority]);
  });
}

test('lines of one name are joined in their order, whatever their case', () => {
  const head = requestOf('gEt / HTTP/1.1', 'Host: a\r\nX-A: 1\r\nB: 0\r\nx-a:  2 \r\nX-A:\r\n');
  assert.equal(head.method, 'gEt');
  assert.equal(head.header('x-a'), '1, 2, ');
  assert.equal(head.count('x-a'), 3);
  assert.equal(head.header('c'), undefined);
});

for (const [fields, minor, persistent] of [
  ['', 1, true],
  ['Connection: close\r\n', 1, false],
  ['Connection: x\r\nConnection: CLOSE\r\n', 1, false],
  ['', 0, false],
  ['Connection: Keep-Alive\r\n', 0, true],
  ['Connection: keep-alive, close\r\n', 0, false],
] as const) {
  test(`HTTP/1.${minor} with "${fields.trim()}" is ${persistent ? '' : 'not '}kept alive`, () => {
    assert.equal(requestOf(`GET / HTTP/1.${minor}`, `Host: a\r\n${fields}`).persistent, persistent);
  });
}

const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const BOTH = `Content-Length: 3\r\n${CHUNKED}`;
for (const [method, status, fields, framing] of [
  ['GET', '200 OK', 'Content-Length: 3\r\n', 'a body'],
  ['GET', '200 OK', CHUNKED, 'a body'],
  ['GET', '200 OK', 'Content-Length: 0\r\n', 'none'],
  ['GET', '200', '', 'until close'],
  ['HEAD', '200 OK', 'Content-Length: 3\r\n', 'none'],
  ['HEAD', '200 OK', CHUNKED, 'none'],
  ['GET', '204 No', CHUNKED, 'none'],
  ['GET', '304 No', 'Content-Length: 3\r\n', 'none'],
  ['GET', '103 Early', 'Content-Length: 3\r\n', 'none'],
  ['CONNECT', '403 No', 'Content-Length: 3\r\n', 'a body'],
  ['GET', '200 OK', BOTH, 'refused'],
  ['GET', '200 OK', 'Transfer-Encoding: gzip\r\n', 'refused'],
  ['GET', '200 OK', 'Content-Length: 3\r\nContent-Length: 3\r\n', 'refused'],
  ['GET', '200 OK', 'Content-Length: x\r\n', 'refused'],
] as const) {
  test(`the answer ${status} to ${method} with "${fields.trim()}": ${framing}`, () => {
    const request = requestOf(`${method} ${method === 'CONNECT' ? 'a:1' : '/'} HTTP/1.1`);
    const read = (): string => {
      const body = responseBody(responseOf(status, fields), request);
      return body.complete ? 'none' : body.untilClose ? 'until close' : 'a body';
    };
    if (framing === 'refused') assert.throws(read, BadMessage);
    else assert.equal(read(), framing);
  });
}

test('a tunnel is 2xx to CONNECT, or 101 to who asked for it', () => {
  const upgrade = requestOf('GET / HTTP/1.1', 'Host: a\r\nConnection: upgrade\r\nUpgrade: x\r\n');
  const connect = requestOf('CONNECT a:1 HTTP/1.1');
  assert.equal(opensTunnel(responseOf('101 Go'), upgrade), true);
  assert.equal(opensTunnel(responseOf('200 OK'), upgrade), false);
  assert.equal(opensTunnel(responseOf('200 OK'), connect), true);
  assert.equal(opensTunnel(responseOf('407 No'), connect), false);
  assert.throws(() => opensTunnel(responseOf('101 Go'), requestOf('GET / HTTP/1.1')), BadMessage);
});

for (const text of [
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/2 200 OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.1 200 O\x01K',
  'OK',
]) {
  test(`"${text}" is no status line`, () => {
    assert.throws(() => new H1ResponseHead(Buffer.from(`${text}\r\n\r\n`, 'latin1')), BadMessage);
  });
}

test('added fields come behind the last one and are one line each', () => {
  const head = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  const added = withFields(Buffer.from(`${head}body`), head.length, [
    ['x', 'y\r\nZ: 1'],
    ['b', 'ü'],
  ]);
  assert.equal(added.toString(), 'GET / HTTP/1.1\r\nHost: a\r\nx: yZ: 1\r\nb: ü\r\n\r\nbody');
});

test('only so many large heads are on their way at a time, and one that is over gives its place back', () => {
  const start = Buffer.from(`GET / HTTP/1.1\r\nX: ${'a'.repeat(LARGE_HEAD_BYTES)}`);
  const begun = Array.from({ length: MAX_LARGE_HEADS }, () => new HeadBytes('request'));
  for (const head of begun) assert.equal(head.push(start, 0), -1);
  const refused = (): number | undefined => {
    try {
      new HeadBytes('request').push(start, 0);
      return undefined;
    } catch (failure) {
      return failure instanceof BadMessage ? failure.status : undefined;
    }
  };
  assert.equal(refused(), 431);
  assert.equal(new HeadBytes('request').push(Buffer.from('GET / HTTP/1.1\r\n'), 0), -1); // small ones come through
  for (const head of begun) head.reset();
  const again = new HeadBytes('request');
  assert.equal(again.push(start, 0), -1);
  again.reset();
});

test('a LF at the beginning of a head is refused whatever stands before it', () => {
  const bytes = Buffer.from('the end of a body\r\nGET / HTTP/1.1\r\n\r\n');
  assert.throws(() => new HeadBytes('request').push(bytes, bytes.indexOf('\n')), BadMessage);
});
