import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { HTTP_CORPUS } from '../../../support/http-corpus.ts';
import { readRequests } from './read-requests.ts';

/** How many whole requests a reader finds that knows one form of each thing, and stops at whatever else there is. */
function strictCount(text: string): number {
  let rest = text;
  for (let count = 0; ; count += 1) {
    rest = rest.replace(/^\r\n/, '');
    const head = /^[^\r\n ]+ [^\r\n ]+ HTTP\/1\.[01]\r\n(?:[^\r\n: \t]+:[^\r\n\0]*\r\n)*\r\n/.exec(rest)?.[0];
    if (head === undefined) return count;
    rest = rest.slice(head.length);
    const lengths = [...head.matchAll(/\r\ncontent-length:[ ]*(.*?)[ \t]*(?=\r\n)/gi)].map((match) => match[1] ?? '');
    const codings = [...head.matchAll(/\r\ntransfer-encoding:[ ]*(.*?)[ \t]*(?=\r\n)/gi)];
    if (lengths.length + codings.length > 1) return count;
    if (codings.length === 1) {
      if (codings[0]?.[1]?.toLowerCase() !== 'chunked') return count;
      const body = chunkedBody(rest);
      if (body === undefined) return count;
      rest = rest.slice(body);
    } else if (lengths.length === 1) {
      const [length = ''] = lengths;
      if (!/^\d+$/.test(length) || Number(length) > rest.length) return count;
      rest = rest.slice(Number(length));
    }
  }
}

function chunkedBody(text: string): number | undefined {
  let at = 0;
  for (;;) {
    const [line, size = ''] = /^([0-9a-f]{1,16})(?:;[^\r\n]*)?\r\n/i.exec(text.slice(at)) ?? [];
    if (line === undefined) return undefined;
    at += line.length;
    const bytes = Number.parseInt(size, 16);
    if (bytes === 0) break;
    if (text.slice(at + bytes, at + bytes + 2) !== '\r\n') return undefined;
    at += bytes + 2;
  }
  const trailers = /^(?:[^\r\n: \t]+:[^\r\n]*\r\n)*\r\n/.exec(text.slice(at))?.[0];
  return trailers === undefined ? undefined : at + trailers.length;
}

const HEADS = [
  'GET /a HTTP/1.1\r\n',
  'POST /b?c HTTP/1.1\r\n',
  'PUT /d HTTP/1.0\r\n',
  'Host: a\r\n',
  'X-User: dev\r\n',
];
const FRAMING = [
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding:\t',
];
const BODIES = ['hello', '5\r\nhello\r\n', '0\r\n', '0;x="', 'A: b\r\n', '\r\n', '\r\n\r\n', 'a\r\n0123456789\r\n'];
const TRICKS = ['\r', '\n', ' ', '\t', '\0', ':', '"', ',', '\x7f', '\xff', 'chunked', '0', 'f', ';'];
const WHOLE = HTTP_CORPUS.filter(({ bytes }) => bytes.byteLength < 1000).map(({ bytes }) => bytes.toString('latin1'));

/** Bytes that look like requests often enough. */
const anyStream = fc
  .array(
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...HEADS, ...FRAMING, ...BODIES, ...BODIES) },
      { weight: 3, arbitrary: fc.constantFrom(...WHOLE) },
      { weight: 1, arbitrary: fc.constantFrom(...TRICKS) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 8 }) },
    ),
    { maxLength: 24 },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

const anyCuts = fc.array(fc.nat(2000), { maxLength: 12 });

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.byteLength + 1)), bytes.byteLength])].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((end, at) => bytes.subarray(places[at], end));
}

test('no bytes make the readers fail, find more requests than a strict reading, or find others when cut elsewhere', () => {
  fc.assert(
    fc.property(anyStream, anyCuts, (bytes, cuts) => {
      const whole = readRequests([bytes]);
      assert.ok(whole.requests.length <= strictCount(bytes.toString('latin1')));
      const cut = readRequests(cutAt(bytes, cuts));
      assert.deepEqual(
        [cut.requests.map((request) => request.bytes), cut.refused],
        [whole.requests.map((request) => request.bytes), whole.refused],
      );
    }),
    { numRuns: 5_000 },
  );
});

const anyToken = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
const anyField = fc
  .tuple(
    anyToken,
    fc.stringMatching(/^[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff\t]{0,20}[\x21-\x7e\x80-\xff])?$/),
    fc.constantFrom('', ' ', '  '),
  )
  .filter(([name]) => !/^(host|content.length|transfer.encoding|connection)$/i.test(name))
  .map(([name, value, space]) => `${name}:${space}${value}${space}\r\n`);
const anyBody = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1'));
const anyFramedBody = fc.oneof(
  fc.constant({ field: '', body: '' }),
  anyBody.map((body) => ({ field: `Content-Length: ${body.length}\r\n`, body })),
  fc
    .tuple(
      fc.array(anyBody.filter((body) => body.length > 0)),
      fc.array(
        anyField.filter(
          (line) => !/^(te|trailer|upgrade|expect|keep-alive|proxy-connection|http2-settings):/i.test(line),
        ),
      ),
      fc.constantFrom('', ';a', ';b="\\"\\\\;"'),
    )
    .map(([chunks, trailers, extension]) => ({
      field: 'transfer-encoding: Chunked\r\n',
      body: `${[...chunks.map((chunk) => `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`), `0${extension}`].join('')}\r\n${trailers.join('')}\r\n`,
    })),
);
const anyRequest = fc
  .tuple(
    anyToken.filter((method) => method !== 'CONNECT'),
    fc.stringMatching(/^\/[\x21-\x7e]{0,20}$/),
    fc.array(anyField),
    fc.array(anyField),
    anyFramedBody,
  )
  .map(([method, target, before, after, { field, body }]) =>
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\n${before.join('')}Host: a\r\n${field}${after.join('')}\r\n${body}`,
      'latin1',
    ),
  );

test('requests of any form are found one by one, byte for byte, wherever the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(anyRequest, { minLength: 1, maxLength: 5 }), anyCuts, (requests, cuts) => {
      const reading = readRequests(cutAt(Buffer.concat(requests), cuts));
      assert.equal(reading.refused, false);
      assert.deepEqual(
        reading.requests.map(({ bytes }) => bytes.toString('latin1')),
        requests.map((bytes) => bytes.toString('latin1')),
      );
    }),
  );
});
