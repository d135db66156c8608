import assert from 'node:assert/strict';
import { test } from 'vitest';
import { type FirstBytes, judgeFirstBytes } from '../../../src/http/first-bytes.ts';

const cases: readonly (readonly [name: string, bytes: string, verdict: FirstBytes])[] = [
  ['a request', 'GET / HTTP/1.1\r\n', 'http1'],
  ['a request behind an empty line', '\r\nGET / HTTP/1.1\r\n', 'http1'],
  ['a method of its own', 'X-$ ', 'http1'],
  ['the preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2'],
  ['a method that begins as the preface does', 'PRINT / HTTP/1.1\r\n', 'http1'],
  ['a ClientHello', '\x16\x03\x01\x02\x00', 'tls'],
  ['what is a handshake record of no TLS', '\x16\x04', 'other'],
  ['a Redis command', '*1\r\n$4\r\nPING\r\n', 'other'],
  ['a Redis inline command', 'PING\r\n', 'other'],
  ['a PostgreSQL startup', '\x00\x00\x00\x08\x04\xd2\x16\x2f', 'other'],
  ['an MQTT connect', '\x10\x10\x00\x04MQTT', 'other'],
  ['a long word', 'a'.repeat(100), 'other'],
  ['a request with a tab', 'GET\t/ HTTP/1.1\r\n', 'http1'],
  ['a request with a space in front', ' GET / HTTP/1.1\r\n', 'http1'],
  ['a request with a control character in its method', 'G\x00ET / HTTP/1.1\r\n', 'http1'],
  ['a request without a method', '/ HTTP/1.1\r\n', 'http1'],
  ['more empty lines than anybody needs', '\r\n'.repeat(33), 'http1'],
];

for (const [name, bytes, verdict] of cases) {
  test(`${name} is told as ${verdict}`, () => {
    assert.equal(judgeFirstBytes(Buffer.from(bytes, 'latin1')), verdict);
  });
}

test('no cut of what is HTTP or TLS makes it anything else, and the last cut is never waited for', () => {
  for (const [, text, verdict] of cases.filter(
    ([name, , verdict]) => verdict !== 'other' && !name.includes('control'),
  )) {
    const bytes = Buffer.from(text, 'latin1');
    for (let end = 1; end <= bytes.byteLength; end += 1) {
      const told = judgeFirstBytes(bytes.subarray(0, end));
      assert.ok(told === 'wait' || told === verdict, `${JSON.stringify(text.slice(0, end))}: ${told}`);
      assert.notEqual(judgeFirstBytes(bytes.subarray(0, end), true), 'wait');
    }
  }
});
