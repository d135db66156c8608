import assert from 'node:assert/strict';
import { test } from 'vitest';
import { HTTP_CORPUS } from '../../../support/http-corpus.ts';
import { cuts, readRequests } from './read-requests.ts';

/** Of a case that is very long not every place is tried. */
const MAX_CUT_BYTES = 4_000;

test('the corpus has at least 80 refused requests, and its names are unique', () => {
  assert.ok(HTTP_CORPUS.filter(({ requests, refused }) => refused && requests === 0).length >= 80);
  assert.equal(new Set(HTTP_CORPUS.map(({ name }) => name)).size, HTTP_CORPUS.length);
});

for (const { name, bytes, requests, refused } of HTTP_CORPUS) {
  test(`${name}: ${refused ? `refused behind ${requests}` : `read as ${requests}`}, wherever it is cut`, () => {
    const expected = { requests, refused };
    const read = (pieces: readonly Buffer[]) => {
      const reading = readRequests(pieces);
      return { requests: reading.requests.length, refused: reading.refused };
    };
    assert.deepEqual(read([bytes]), expected);
    if (bytes.byteLength > MAX_CUT_BYTES) {
      for (const at of [1, 100, 65_536, bytes.byteLength - 3]) {
        assert.deepEqual(read([bytes.subarray(0, at), bytes.subarray(at)]), expected);
      }
      return;
    }
    for (const pieces of cuts(bytes)) assert.deepEqual(read(pieces), expected, `cut at ${pieces[0]?.byteLength}`);
  });
}
