import assert from 'node:assert/strict';
import { afterEach, beforeEach, test, vi } from 'vitest';
import { HOLD_DETACHED_MS } from '../../../agent/limits.ts';
import { Reach } from '../../../agent/reach.ts';

let changes: number;
let reach: Reach;
beforeEach(() => {
  vi.useFakeTimers();
  changes = 0;
  reach = new Reach(() => {
    changes += 1;
  });
});
afterEach(() => {
  vi.useRealTimers();
});

/** What becomes of a wait. */
function wait(signal?: AbortSignal): { state: string } {
  const seen = { state: 'waits' };
  reach.settled(signal).then(
    () => {
      seen.state = reach.state;
    },
    () => {
      seen.state = 'aborted';
    },
  );
  return seen;
}

test('who comes while the laptop is away waits for it, and no longer than the hold', async () => {
  reach.detached();
  const early = wait();
  await vi.advanceTimersByTimeAsync(HOLD_DETACHED_MS - 1);
  assert.deepEqual([early.state, reach.state, changes], ['waits', 'waiting', 0]);
  await vi.advanceTimersByTimeAsync(1);
  assert.deepEqual([early.state, reach.state, changes], ['gone', 'gone', 1]);
  reach.attached();
  assert.deepEqual([reach.state, changes, reach.timers], ['reachable', 2, 0]);
});

test('a laptop that is back within the hold was never gone', async () => {
  let gone = 0;
  reach.onGone(() => {
    gone += 1;
  });
  reach.detached();
  const waiting = wait();
  reach.attached();
  await vi.advanceTimersByTimeAsync(HOLD_DETACHED_MS * 2);
  assert.deepEqual([waiting.state, gone, changes, reach.timers], ['reachable', 0, 0, 0]);
});

test('a second loss does not make the first hold longer', async () => {
  reach.detached();
  await vi.advanceTimersByTimeAsync(HOLD_DETACHED_MS / 2);
  reach.detached();
  await vi.advanceTimersByTimeAsync(HOLD_DETACHED_MS / 2);
  assert.equal(reach.state, 'gone');
});

test('who has asked the laptop hears that it is gone, unless it does not care any more', async () => {
  const heard: string[] = [];
  reach.onGone(() => heard.push('one'));
  const forget = reach.onGone(() => heard.push('two'));
  forget();
  reach.detached();
  await vi.advanceTimersByTimeAsync(HOLD_DETACHED_MS);
  assert.deepEqual(heard, ['one']);
});

test('a caller that leaves waits no longer', async () => {
  const abort = new AbortController();
  reach.detached();
  const waiting = wait(abort.signal);
  abort.abort(new Error('left'));
  await vi.advanceTimersByTimeAsync(0);
  assert.equal(waiting.state, 'aborted');
  reach.close();
  assert.equal(reach.timers, 0);
});
