import assert from 'node:assert/strict';
import { test } from 'vitest';
import { InFlight } from '../../../agent/in-flight.ts';
import { MAX_UNANSWERED_BYTES } from '../../../agent/limits.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** What is known after `lines`: those in <> are the answerer's. */
function after(...lines: string[]) {
  const inFlight = new InFlight();
  for (const line of lines) {
    if (line.startsWith('<')) inFlight.answered(Buffer.from(line.slice(1)));
    else inFlight.asked(Buffer.from(line));
  }
  const { isIdle, isUnanswered, replayable } = inFlight;
  return { isIdle, isUnanswered, replay: replayable === undefined ? undefined : Buffer.concat(replayable).toString() };
}

test.each<[string, string[], ReturnType<typeof after>]>([
  ['nothing said yet', [], { isIdle: true, isUnanswered: false, replay: '' }],
  ['a GET', [GET], { isIdle: false, isUnanswered: true, replay: GET }],
  [
    'a PUT in parts',
    ['PUT / HTTP/1.1\r\n', '\r\n'],
    { isIdle: false, isUnanswered: true, replay: 'PUT / HTTP/1.1\r\n\r\n' },
  ],
  ['a POST', [POST, 'ab'], { isIdle: false, isUnanswered: true, replay: undefined }],
  ['a GET with one byte of an answer', [GET, '<H'], { isIdle: false, isUnanswered: false, replay: undefined }],
  ['an answered GET', [GET, `<${OK}`], { isIdle: true, isUnanswered: false, replay: '' }],
  ['the second GET', [GET, `<${OK}`, GET], { isIdle: false, isUnanswered: true, replay: GET }],
  [
    'a request behind half an answer',
    [GET, `<${OK.slice(0, -1)}`, GET],
    { isIdle: false, isUnanswered: false, replay: undefined },
  ],
  [
    'an upgraded connection',
    [GET, '<HTTP/1.1 101 S\r\n\r\n', 'x'],
    { isIdle: false, isUnanswered: false, replay: undefined },
  ],
  ['HTTP/2', ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], { isIdle: false, isUnanswered: false, replay: undefined }],
  ['another protocol', ['\u0001\u0002'], { isIdle: false, isUnanswered: false, replay: undefined }],
  ['a server that speaks first', ['<220 ready\r\n'], { isIdle: false, isUnanswered: false, replay: undefined }],
])('%s', (_what, lines, known) => {
  assert.deepEqual(after(...lines), known);
});

test('a request that is too large to be kept is known to be unanswered, and not asked again', () => {
  const put = `PUT / HTTP/1.1\r\nContent-Length: ${MAX_UNANSWERED_BYTES}\r\n\r\n`;
  const known = after(put, 'x'.repeat(MAX_UNANSWERED_BYTES));
  assert.deepEqual(known, { isIdle: false, isUnanswered: true, replay: undefined });
});
