import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { Links } from '../../../agent/links.ts';
import { silentLog } from '../../../src/log.ts';
import type { Link } from '../../../src/mux/link.ts';
import { BEGINNING } from '../../../src/mux/resume-point.ts';
import { MemoryTransport } from '../../support/memory-transport.ts';

const session = (sessionId: string) => ({ sessionId, user: 'ann', host: 'desk' });
const offer = (id: string, resumeMs = 60_000) => ({ id, begun: false, received: 0, resumeMs });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A link with a carrier that has lost it, with so many bytes for the laptop. */
function away(links: Links, id: string, bytes = 0): { link: Link; isOver: () => boolean } {
  const link = links.make(session('s'), offer(id), { onAttached: () => {}, onDetached: () => {} });
  let over = false;
  link.onClose = () => {
    over = true;
    links.delete(session('s'), link);
  };
  link.resume();
  link.attach(MemoryTransport.pair()[0], BEGINNING);
  if (bytes > 0) link.send(new Uint8Array(bytes));
  link.lose(new Error('cut'));
  return { link, isOver: () => over };
}

test('a link is found by its own session only', () => {
  const links = new Links({ log: silentLog });
  const { link } = away(links, 'one');
  assert.equal(links.find(session('s'), 'one'), link);
  assert.equal(links.find(session('other'), 'one'), undefined);
  assert.equal(links.find(session('s'), 'two'), undefined);
});

test('of more links without a carrier than may be kept the one that has been away for longest ends', async () => {
  const links = new Links({ log: silentLog, maxDetached: 2 });
  const all = [];
  for (const id of ['one', 'two', 'three']) {
    all.push(away(links, id));
    await vi.advanceTimersByTimeAsync(10);
  }
  assert.deepEqual(
    all.map(({ isOver }) => isOver()),
    [true, false, false],
  );
  assert.equal(links.size, 2);
});

test('when they keep more bytes than they may, the one that keeps most ends', async () => {
  const links = new Links({ log: silentLog, maxDetachedBytes: 250_000 });
  const all = [];
  for (const [id, bytes] of [
    ['one', 50_000],
    ['two', 150_000],
    ['three', 100_000],
  ] as const) {
    all.push(away(links, id, bytes));
    await vi.advanceTimersByTimeAsync(10);
  }
  assert.deepEqual(
    all.map(({ isOver }) => isOver()),
    [false, true, false],
  );
});

test('nobody is waited for longer than the session asked', async () => {
  const links = new Links({ log: silentLog });
  const { isOver } = away(links, 'one');
  await vi.advanceTimersByTimeAsync(59_999);
  assert.equal(isOver(), false);
  await vi.advanceTimersByTimeAsync(1);
  assert.deepEqual([isOver(), links.size], [true, 0]);
});
