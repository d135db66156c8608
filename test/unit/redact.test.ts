import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'vitest';
import { createLog, jsonLines } from '../../src/log.ts';
import { redact } from '../../src/redact.ts';

const JWT = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl-_';

test('what gives access is taken out of texts of others, and the rest of them stays', () => {
  const texts: [string, string][] = [
    [`plugin said: ${JWT} is old`, 'plugin said: [redacted] is old'],
    ['Authorization: Bearer abc123.def/456=', 'Authorization: Bearer [redacted]'],
    ['Proxy-Authorization: Basic dXNlcjpwYXNz', 'Proxy-Authorization: Basic [redacted]'],
    ['via http://ann:s3cret@proxy.example:3128/x', 'via http://[redacted]@proxy.example:3128/x'],
    [
      '{"kind":"ExecCredential","status":{"token":"a\\"b"}}',
      '{"kind":"ExecCredential","status":{"token":"[redacted]"}}',
    ],
    ['{"client-key-data": "LS0t"}', '{"client-key-data": "[redacted]"}'],
    ['curl --data client_secret=xyz&user=ann', 'curl --data client_secret=[redacted]&user=ann'],
    ["PGPASSWORD='a b' psql", 'PGPASSWORD=[redacted] psql'],
  ];
  for (const [text, wanted] of texts) assert.equal(redact(text), wanted);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  assert.equal(redact(`read ${pem}done`), 'read [redacted]\ndone');
  assert.equal(redact(`cut ${pem.slice(0, 80)}`), 'cut [redacted]');
});

test('texts of ours are as they were', () => {
  const texts = [
    'secret "web-tls" not found: --tls-from names no Secret',
    'the token expired on 2026-01-01',
    'Basic authentication is not supported',
    'https://api.example:6443 did not answer GET /api/v1/secrets?labelSelector=a%3Db',
    'user "ann" may not get secrets in namespace "shop"',
    'personal key=ann, --header x-user: ann@example.org',
  ];
  for (const text of texts) assert.equal(redact(text), text);
});

test('the time it takes is linear in the text', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('-----BEGIN PRIVATE KEY-----', 'eyJ', 'a://', '"token":"', 'token=', 'Basic 1'),
      (piece) => {
        redact(piece.repeat(20_000)); // quadratic would run into the test's deadline
      },
    ),
    { numRuns: 6 },
  );
});

test('a log never writes them, in its message or a field', () => {
  const lines: string[] = [];
  const log = createLog('debug', jsonLines({ write: (line) => lines.push(line) }));
  log.warn(`got ${JWT}`, { reason: `Bearer ${JWT}`, names: [`http://a:b@c/`], count: 1 });
  assert.equal(lines.length, 1);
  const { time: _, ...record } = JSON.parse(lines[0] ?? '');
  const names = ['http://[redacted]@c/'];
  assert.deepEqual(record, { level: 'warn', message: 'got [redacted]', reason: 'Bearer [redacted]', names, count: 1 });
});
