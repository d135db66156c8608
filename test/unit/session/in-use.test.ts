import assert from 'node:assert/strict';
import { test } from 'vitest';
import { inUse } from '../../../cli/session/in-use.ts';
import type { Filter } from '../../../src/http/filter.ts';
import type { Holder } from '../../../src/protocol/control.ts';

const SINCE_MS = Date.parse('2026-01-01T00:00:00Z');
const BOB: Holder = {
  sessionId: 'b',
  user: 'bob',
  host: 'box',
  sinceMs: SINCE_MS,
  lastSeenMs: SINCE_MS + 600_000,
  connected: true,
};
const FILTER: Filter = { match: 'all', conditions: [{ on: 'personal', key: 'intercept', value: 'bob' }] };
const CONTEXT = {
  workload: 'deployment/web',
  namespace: 'shop',
  identity: { sessionId: 'a', user: 'ann', host: 'air' },
  intercepts: [{}],
  takeOver: false,
};

test('names the holder, since when, what is held and when it was used last', () => {
  const { code, message, hint } = inUse(CONTEXT, { holder: { ...BOB, lastActivityMs: BOB.lastSeenMs - 12_000 } });
  assert.equal(code, 'TARGET_IN_USE');
  assert.equal(message, 'deployment/web is intercepted by bob@box since 2026-01-01T00:00:00Z, last used 12s ago');
  assert.equal(hint, 'ask them to end it, or end it yourself: intercept leave deployment/web -n shop --everyone');

  const filtered = inUse(CONTEXT, { holder: { ...BOB, lastActivityMs: BOB.lastSeenMs }, filter: FILTER });
  assert.match(filtered.message, /Z \(requests with --personal bob\), in use now$/);
  assert.match(filtered.hint ?? '', /; take your own requests only: --personal$/);
});

test('--take-over is named where it would work, and not where it was given', () => {
  const gone = { ...BOB, connected: false };
  const never = { ...BOB, lastSeenMs: SINCE_MS + 59_000 };
  const taking = { ...CONTEXT, takeOver: true };
  const offers = [
    [CONTEXT, { ...BOB, lastActivityMs: BOB.lastSeenMs - 60_000 }],
    [CONTEXT, BOB],
    [CONTEXT, gone],
    [CONTEXT, never],
    [CONTEXT, { ...BOB, lastActivityMs: BOB.lastSeenMs - 59_000 }],
    [taking, gone],
    [CONTEXT, undefined],
  ] as const;
  const offered = offers.map(([context, holder]) =>
    (inUse(context, holder === undefined ? {} : { holder }).hint ?? '').includes('--take-over'),
  );
  assert.deepEqual(offered, [true, true, true, false, false, false, false]);
});

test('one’s own session is told as such, and a filter that overlaps how it need not', () => {
  const own = { ...BOB, user: 'ann', host: 'air', lastActivityMs: BOB.lastSeenMs };
  const context = { ...CONTEXT, intercepts: [{ filter: FILTER }] };
  const { message, hint } = inUse(context, { holder: own, filter: FILTER });
  assert.match(message, /by you \(ann@air\) since/);
  assert.match(hint ?? '', /^end it: intercept leave deployment\/web -n shop; or take requests that cannot be theirs/);
});

test('all who are in the way are named before it is said how to end them', () => {
  const bob = { ...BOB, lastActivityMs: BOB.lastSeenMs };
  const eve = { ...BOB, sessionId: 'e', user: 'eve' };
  const { message, hint } = inUse(CONTEXT, { holder: bob, filter: FILTER, others: [{ holder: eve }], more: 3 });
  assert.equal(
    message,
    'deployment/web is intercepted by bob@box since 2026-01-01T00:00:00Z (requests with --personal bob), in use now; ' +
      'eve@box since 2026-01-01T00:00:00Z, unused so far; and 3 more',
  );
  assert.equal(hint, 'ask them to end theirs, or end them yourself: intercept leave deployment/web -n shop --everyone');
});

test('with several in the way, --take-over and an end of one’s own are named where they are enough', () => {
  const own = { ...BOB, user: 'ann', host: 'air' };
  const used = { ...BOB, lastActivityMs: BOB.lastSeenMs };
  const hintOf = (first: Holder, second: Holder, more = 0): string =>
    inUse(CONTEXT, { holder: first, others: [{ holder: second }], more }).hint ?? '';
  assert.match(hintOf(BOB, own), /^take them over: --take-over; ask them/);
  assert.doesNotMatch(hintOf(BOB, used), /--take-over/);
  assert.doesNotMatch(hintOf(BOB, own, 1), /--take-over/);
  assert.match(hintOf(own, own), /; end them: intercept leave deployment\/web -n shop$/);
  assert.match(hintOf(own, used), /--everyone/);
});
