import assert from 'node:assert/strict';
import { test } from 'vitest';
import { TakenCounts } from '../../../cli/session/taken-counts.ts';

const HTTP = { appPort: 8080, protocol: 'tcp' } as const;
const DNS = { appPort: 8080, protocol: 'udp' } as const;

function told(
  pod: string,
  taken: number,
  { dropped = 0, sessionId = 'mine', port = HTTP as typeof HTTP | typeof DNS } = {},
) {
  return { pod, intercepts: [{ ...port, sessionId, mirror: false, to: 'laptop', taken, open: 0, dropped }] } as const;
}

test('what all agents have handed over is summed up, of this session and by port', () => {
  const counts = new TakenCounts('mine');
  assert.equal(counts.of(HTTP), undefined);
  for (const one of [told('web-1', 2), told('web-2', 3, { dropped: 1 }), told('web-1', 9, { sessionId: 'other' })])
    counts.note(one);
  counts.note(told('web-1', 7, { port: DNS }));
  assert.deepEqual(counts.of(HTTP), { taken: 5, dropped: 1 });
  assert.deepEqual(counts.of(DNS), { taken: 7, dropped: 0 });
});

test('a claim that is made anew counts from 0, and the session goes on', () => {
  const counts = new TakenCounts('mine');
  for (const taken of [100, 443, 0, 2]) counts.note(told('web-1', taken));
  assert.deepEqual(counts.of(HTTP), { taken: 445, dropped: 0 });
});

test('what a pod that is gone has counted is kept, however many pods there were', () => {
  const counts = new TakenCounts('mine');
  for (let n = 0; n < 3_000; n++) counts.note(told(`web-${n}`, 1));
  assert.deepEqual(counts.of(HTTP), { taken: 3_000, dropped: 0 });
});
