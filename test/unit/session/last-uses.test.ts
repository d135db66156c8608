import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { AgentTunnel } from '../../../cli/session/agent-tunnel.ts';
import { lastUses, recentUses, usedElsewhere } from '../../../cli/session/last-uses.ts';
import type { Holder } from '../../../src/protocol/control.ts';

function holder(sessionId: string, lastSeenMs: number, lastActivityMs?: number, connected = true): Holder {
  const use = lastActivityMs === undefined ? {} : { lastActivityMs };
  return { sessionId, user: sessionId, host: 'box', sinceMs: 0, lastSeenMs, connected, ...use };
}

test('a session was used last where it was used latest, whatever the pods’ clocks say', () => {
  const first = { sessions: [holder('bob', 1_000_000, 200_000), holder('eve', 1_000_000)] };
  const fast = { sessions: [holder('bob', 9_000_000, 8_988_000), holder('cut', 9_000_000, 8_999_000, false)] };
  const other = { sessions: [holder('bob', 500_000, 100_000), holder('ann', 500_000, 500_000)] };
  assert.deepEqual(
    [...lastUses([first, fast, other])],
    [
      ['bob', 12_000],
      ['ann', 0],
    ],
  );
});

test('agents that fail to answer are left out, and so is what was used a minute ago', async () => {
  const agent = (status: () => Promise<unknown>) => ({ control: { request: status } }) as unknown as AgentTunnel;
  const uses = await recentUses([
    agent(async () => ({ sessions: [holder('bob', 100_000, 41_000), holder('ann', 100_000, 40_000)] })),
    agent(async () => {
      throw new Error('lost');
    }),
  ]);
  assert.deepEqual([...uses], [['bob', 59_000]]);
});

test('a refusal tells of the last use on any pod', () => {
  const refusal = { code: 'TARGET_IN_USE', message: 'in use' };
  const uses = new Map([['bob', 12_000]]);
  const told = (bob: Holder) => usedElsewhere({ ...refusal, holder: bob }, bob, uses).holder;
  assert.equal(told(holder('bob', 100_000))?.lastActivityMs, 88_000);
  assert.equal(told(holder('bob', 100_000, 95_000))?.lastActivityMs, 95_000);
  assert.equal(told(holder('bob', 100_000, 20_000, false))?.connected, true);
  assert.equal(told(holder('eve', 100_000))?.lastActivityMs, undefined);
});

test('a refusal tells of the last use of all it names', () => {
  const bob = holder('bob', 100_000);
  const refusal = {
    code: 'TARGET_IN_USE',
    message: 'in use',
    holder: bob,
    others: [{ holder: holder('eve', 100_000) }],
  };
  const told = usedElsewhere(refusal, bob, new Map([['eve', 12_000]]));
  assert.equal(told.holder?.lastActivityMs, undefined);
  assert.equal(told.others?.[0]?.holder.lastActivityMs, 88_000);
});
