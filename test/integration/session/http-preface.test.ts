import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'vitest';
import { speaksHttp2 } from '../../../cli/session/http-preface.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

test('HTTP/2 is told by its preface, however it is cut, and nothing of it is lost', async () => {
  for (const at of [1, 3, 23, 24]) {
    const caller = new PassThrough();
    const told = speaksHttp2(caller);
    caller.write(PREFACE.slice(0, at));
    await new Promise(setImmediate);
    caller.end(`${PREFACE.slice(at)}frames`);
    assert.equal(await told, true);
    assert.equal((await buffer(caller)).toString('latin1'), `${PREFACE}frames`);
  }
});

test('anything else is not, from its first byte that differs on, and nothing of it is lost', async () => {
  for (const said of ['GET / HTTP/1.1\r\n\r\n', 'PRI * HTTP/1.1\r\n\r\n', 'P']) {
    const caller = new PassThrough();
    const told = speaksHttp2(caller);
    caller.write(said);
    if (said === 'P') caller.write('OST / HTTP/1.1\r\n');
    assert.equal(await told, false);
    caller.end();
    assert.equal((await buffer(caller)).toString('latin1'), said === 'P' ? 'POST / HTTP/1.1\r\n' : said);
  }
});

test('a caller that says nothing and leaves is none', async () => {
  const ends = new PassThrough();
  const closed = new PassThrough();
  const told = [speaksHttp2(ends), speaksHttp2(closed)];
  ends.end();
  closed.destroy();
  assert.deepEqual(await Promise.all(told), [false, false]);
});
