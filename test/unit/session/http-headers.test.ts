import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import {
  encodeHead,
  endToEnd,
  hasRequestBody,
  hasToken,
  headerPairs,
  headerValues,
  pathForRecord,
  requestFault,
  without,
} from '../../../cli/session/http-headers.ts';

const RAW = [
  'Host',
  'a',
  'X-One',
  '1',
  'x-two',
  '2',
  'x-one',
  '3',
  'Connection',
  'Keep-Alive, X-One',
  'KEEP-ALIVE',
  '5',
];

test('fields of the message keep their case, order and duplicates while those of the connection go', () => {
  assert.deepEqual(endToEnd(RAW), ['Host', 'a', 'X-One', '1', 'x-two', '2', 'x-one', '3']);
});

test('a field that the peer merely nominates in Connection stays', () => {
  const raw = ['Connection', 'authorization, content-length', 'Authorization', 'b', 'Content-Length', '3'];
  assert.deepEqual(endToEnd(raw), ['Authorization', 'b', 'Content-Length', '3']);
});

test('values are found whatever the case of the name', () => {
  assert.deepEqual(headerValues(RAW, 'x-one'), ['1', '3']);
  assert.deepEqual(headerValues(RAW, 'x-three'), []);
  assert.equal(hasToken(RAW, 'connection', 'keep-alive'), true);
  assert.equal(hasToken(RAW, 'connection', 'alive'), false);
  assert.deepEqual(without(RAW, 'x-one', 'connection', 'keep-alive'), ['Host', 'a', 'x-two', '2']);
});

test('any fields are pairs and back', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.string())), (pairs) => {
      assert.deepEqual(headerPairs(pairs.flat()), pairs);
      assert.deepEqual(without(pairs.flat()), pairs.flat());
    }),
  );
});

test('a head is encoded byte by byte', () => {
  assert.deepEqual(
    encodeHead('HTTP/1.1 200 \xe9', ['A', '\xff', 'a', '']),
    Buffer.from('HTTP/1.1 200 \xe9\r\nA: \xff\r\na: \r\n\r\n', 'latin1'),
  );
});

test('only a length above zero or a transfer encoding means a body', () => {
  assert.equal(hasRequestBody(['Host', 'a']), false);
  assert.equal(hasRequestBody(['content-length', '0']), false);
  assert.equal(hasRequestBody(['content-LENGTH', '10']), true);
  assert.equal(hasRequestBody(['Transfer-Encoding', 'chunked']), true);
});

test.each([
  ['1.1', ['Host', 'a'], undefined],
  ['1.0', [], undefined],
  ['0.9', [], 'HTTP version not supported'],
  ['2.0', [], 'HTTP version not supported'],
  ['1.1', ['Host', 'a', 'host', 'b'], 'more than one Host field'],
  ['1.0', ['Transfer-Encoding', 'chunked'], 'Transfer-Encoding in HTTP/1.0'],
  ['1.1', ['Transfer-Encoding', '', 'Content-Length', '3'], 'Transfer-Encoding and Content-Length'],
  ['1.1', ['Transfer-Encoding', 'chunked, identity'], 'Transfer-Encoding is not chunked once and last'],
  [
    '1.1',
    ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'],
    'Transfer-Encoding is not chunked once and last',
  ],
  ['1.1', ['Transfer-Encoding', ''], 'Transfer-Encoding is not chunked once and last'],
  ['1.1', ['Transfer-Encoding', 'gzip, Chunked'], undefined],
])('HTTP/%s with %j is refused because of: %s', (version, raw, fault) => {
  assert.equal(requestFault(version, raw), fault);
});

test.each([
  ['/a/b?token=1', '/a/b'],
  ['//a/../b', '//a/../b'],
  ['http://user:secret@host:80/x?y', '/x'],
  ['http://user:secret@host?y', '/'],
  ['HTTP://host/a', '/a'],
  ['/a#b', '/a'],
  ['*', '*'],
])('of the target %s the log keeps %s', (target, path) => {
  assert.equal(pathForRecord(target), path);
});
