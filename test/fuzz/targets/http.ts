// What callers of a filtered port, and who answers them, say.
import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { routeHttp } from '../../../src/http/detect.ts';
import { judgeFirstBytes } from '../../../src/http/first-bytes.ts';
import { frame, headersFrames, PREFACE, SETTINGS } from '../../../src/http/h2/frames.ts';
import { Meter } from '../../../src/http/meter.ts';
import type { Answerer, Resettable } from '../../../src/http/routing.ts';
import { createLog } from '../../../src/log.ts';
import { HTTP_CORPUS } from '../../support/http-corpus.ts';
import { until } from '../../support/until.ts';
import { readRequests } from '../../unit/http/h1/read-requests.ts';
import { piecesOf } from '../mutate.ts';
import type { Target } from '../target.ts';

const REQUESTS = HTTP_CORPUS.filter(({ bytes }) => bytes.byteLength < 1_000).map(({ bytes }) => bytes);
const TOKENS = [
  '\r\n',
  '\r',
  '\n',
  ' ',
  '\t',
  ':',
  'Host: a\r\n',
  'Content-Length: ',
  'Transfer-Encoding: chunked\r\n',
].concat(
  ['0\r\n\r\n', '5\r\nhello\r\n', 'GET / HTTP/1.1\r\n', 'Connection: Upgrade, HTTP2-Settings\r\n', 'Upgrade: h2c\r\n'],
  ['HTTP2-Settings: AAMAAABk\r\n', 'Expect: 100-continue\r\n', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 100 Continue\r\n\r\n'],
  [
    'Trailer: a\r\n',
    ';a="b"',
    'Connection: close\r\n',
    'CONNECT a:1 HTTP/1.1\r\n',
    'Content-Length: 5\r\n',
    '\x16\x03\x01',
  ],
);

export const firstBytes: Target = {
  name: 'first bytes',
  seeds: [
    'GET / HTTP/1.1\r\n',
    PREFACE,
    '\x16\x03\x01\x02\x00\x01',
    '*1\r\n$4\r\nPING\r\n',
    'SSH-2.0-x\r\n',
    '\r\n'.repeat(40),
  ],
  tokens: TOKENS,
  run: (input) => {
    for (let end = 0; end <= Math.min(input.byteLength, 200); end += 1) judgeFirstBytes(input.subarray(0, end));
    assert.notEqual(judgeFirstBytes(input, true), 'wait');
    assert.notEqual(judgeFirstBytes(Buffer.concat([input, Buffer.alloc(4_096, input.at(-1) ?? 0)])), 'wait');
  },
};

export const h1Requests: Target = {
  name: 'HTTP/1.1 requests',
  seeds: REQUESTS,
  tokens: TOKENS,
  run: (input, random) => {
    const whole = readRequests([input]);
    const single = Array.from(input, (_, at) => input.subarray(at, at + 1));
    for (const pieces of [piecesOf(input, random), piecesOf(input, random), single]) {
      const cut = readRequests(pieces);
      assert.deepEqual(
        [cut.requests.map(({ bytes }) => bytes), cut.refused],
        [whole.requests.map(({ bytes }) => bytes), whole.refused],
      );
    }
    const read = Buffer.concat(whole.requests.map(({ bytes }) => bytes));
    assert.ok(read.byteLength <= input.byteLength);
  },
};

/** One end of a connection in memory that can be reset. */
function resettable(side: Duplex): Resettable {
  side.on('error', () => {}); // the other end has gone
  return Object.assign(side, {
    resetAndDestroy() {
      return side.destroy();
    },
  });
}

/** Connections that are not over yet: some wait for a moment for an app that says nothing. */
let routing = 0;
const SPLIT = Buffer.from('\0--answer--\0');
const ANSWERS = ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 'HTTP/1.1 204 No Content\r\n\r\n'].concat(
  [
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\n\r\n2\r\nok\r\n0\r\na: b\r\n\r\n',
    'HTTP/1.0 200 OK\r\n\r\nok',
  ],
  ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhi'],
);
const H2_SEEDS = [
  Buffer.concat([
    PREFACE,
    frame(SETTINGS, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100])),
    headersFrames(1, [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':authority', 'a'],
      [':path', '/'],
    ]),
    frame(8, 0, 0, Buffer.from([0, 1, 0, 0])),
    frame(6, 0, 0, Buffer.alloc(8)),
    frame(3, 0, 1, Buffer.from([0, 0, 0, 8])),
    frame(7, 0, 0, Buffer.alloc(8)),
  ]),
];

/** Bytes of a caller, and behind SPLIT those of who answers it, through the whole router. */
export const http: Target = {
  name: 'HTTP connections',
  seeds: [...REQUESTS.slice(0, 60), ...H2_SEEDS].map((request, at) =>
    Buffer.concat([request, SPLIT, Buffer.from(ANSWERS[at % ANSWERS.length] ?? '')]),
  ),
  tokens: [...TOKENS, SPLIT.toString('latin1')],
  run: async (input, random) => {
    const at = input.indexOf(SPLIT);
    const said = at < 0 ? input : input.subarray(0, at);
    const answer = at < 0 ? Buffer.from(ANSWERS[0] ?? '') : input.subarray(at + SPLIT.byteLength);
    const errors: unknown[] = [];
    const log = createLog('error', (_level, message, fields) => errors.push([message, fields]));
    const dialled: Duplex[] = [];
    const app: Answerer = {
      id: 'app',
      fallback: undefined,
      requestFields: [],
      responseFields: [['X-By', 'ann']],
      began: () => () => {},
      connect: async () => {
        const [near, far] = duplexPair();
        dialled.push(far);
        far.on('error', () => {}).resume();
        for (const piece of piecesOf(answer, random)) far.write(piece);
        if (random.below(2) === 0) far.end();
        return resettable(near);
      },
    };
    const [near, far] = duplexPair();
    far.on('error', () => {}).resume();
    const meter = new Meter();
    const passed: Duplex[] = [];
    const done = routeHttp(
      resettable(near),
      { decide: () => ({ answerer: app, mirrors: [] }) },
      {
        app,
        log,
        meter,
        passOn: (from) => passed.push(from),
      },
    );
    for (const piece of piecesOf(said, random)) {
      far.write(piece);
      if (random.below(3) === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    if (random.below(2) === 0) far.end();
    for (let turns = 0; turns < 4; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(meter.bytes <= 4 * (said.byteLength + answer.byteLength) + 65_536, `${meter.bytes} bytes are held`);
    for (const side of [near, far, ...dialled, ...passed]) side.destroy();
    assert.deepEqual(errors, []);
    if (passed.length > 0) return;
    routing += 1;
    void done.then(() => {
      routing -= 1;
      for (const side of dialled) side.destroy();
    });
  },
  close: () => until(() => routing === 0, 'all connections are over', 30_000),
};
