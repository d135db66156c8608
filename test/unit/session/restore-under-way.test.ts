import assert from 'node:assert/strict';
import { test } from 'vitest';
import { mayBeRestoring, RESTORE_QUIET_MS } from '../../../cli/session/restore-under-way.ts';

const NOW_MS = Date.parse('2026-01-01T12:00:00Z');

function changed(...agoMs: number[]): Parameters<typeof mayBeRestoring>[0] {
  const managedFields = agoMs.map((ms) => ({ manager: 'any', time: new Date(NOW_MS - ms).toISOString() }));
  return { metadata: { name: 'web', managedFields } };
}

test('who has changed a half restored workload a moment ago may be at it', () => {
  assert.equal(mayBeRestoring(changed(3_600_000, 2_000), NOW_MS), true);
  assert.equal(mayBeRestoring(changed(-2_000), NOW_MS), true); // the laptop's clock is slow
});

test('a restore that has changed nothing for a while has stopped', () => {
  assert.equal(mayBeRestoring(changed(3_600_000, RESTORE_QUIET_MS), NOW_MS), false);
});

test('without times that make sense the workload is restored by the next run, not never', () => {
  assert.equal(mayBeRestoring({ metadata: { name: 'web' } }, NOW_MS), false);
  assert.equal(mayBeRestoring({ metadata: { name: 'web', managedFields: [{ manager: 'any' }] } }, NOW_MS), false);
  assert.equal(mayBeRestoring(changed(-7_200_000), NOW_MS), false);
});
