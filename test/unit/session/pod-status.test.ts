import assert from 'node:assert/strict';
import { test } from 'vitest';
import { podStatus } from '../../../cli/session/pod-status.ts';

type Pod = Parameters<typeof podStatus>[0];

const object = (metadata = {}): Pod['object'] => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web-1', ...metadata },
});
const LOST: Pod = {
  name: 'web-1',
  object: object(),
  tunnel: undefined,
  lost: { reason: 'closed by the agent', sinceMs: performance.now() },
  reached: 'not',
};

test('a pod whose tunnel is over is told, unless it is being deleted: nobody calls it any more', () => {
  assert.equal(podStatus(LOST)?.state, 'disconnected');
  assert.equal(podStatus({ ...LOST, object: object({ deletionTimestamp: '2026-01-01T00:00:00Z' }) }), undefined);
});
