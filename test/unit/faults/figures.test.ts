import assert from 'node:assert/strict';
import { test } from 'vitest';
import { figuresOf } from '../../faults/figures.ts';
import { slopePerHour } from '../../faults/soak.ts';
import type { CallerLine, RequestKind } from '../../support/programs/fault-lines.ts';

const TIMES = { injectedAtMs: 1_000, lastAtMs: 1_000, healedAtMs: 2_000 };

function request(sentAtMs: number, tookMs: number, by: string, kind: RequestKind = 'probe'): CallerLine {
  return { line: 'request', kind, sentAtMs, tookMs, by, ...(by === 'failed' ? { detail: 'ECONNRESET' } : {}) };
}

test('recovery is the first good answer after which all are good, whoever gives it', () => {
  const lines = [
    request(500, 10, 'failed'), // before the fault
    request(900, 200, 'failed'), // under way
    request(1_100, 20, 'laptop'),
    request(1_200, 1_500, 'app'), // slow
    request(1_300, 30, 'app'),
    request(2_500, 40, 'laptop'),
  ];
  const figures = figuresOf(lines, TIMES, 'laptop');
  assert.deepEqual([figures.requests, figures.failedRequests, figures.slowestMs], [5, 1, 1_500]);
  assert.deepEqual([figures.recoveryMs, figures.appAfterMs, figures.settledMs], [330, 330, 540]);
  assert.deepEqual(figures.by, { failed: 1, laptop: 2, app: 2 });
});

test('a kept connection may stay with who answers it, and nothing disturbed takes no time', () => {
  const lines = [request(2_100, 10, 'laptop'), request(2_200, 10, 'app', 'kept'), request(2_300, 10, 'laptop')];
  const figures = figuresOf(lines, TIMES, 'laptop');
  assert.deepEqual([figures.recoveryMs, figures.settledMs], [0, 0]);
});

test('lost WebSockets, failed transfers and wrong bytes are counted; a WebSocket that does not open is none that is lost', () => {
  const lines: CallerLine[] = [
    { line: 'lost', atMs: 1_500, id: 1, detail: '1006', open: 99 },
    { line: 'lost', atMs: 1_600, id: 1, detail: 'not opened: ECONNREFUSED', open: 99 },
    { line: 'transfer', sentAtMs: 900, tookMs: 300, by: 'failed', bytes: 10, detail: 'after 5 bytes: ECONNRESET' },
    { line: 'wrong', atMs: 1_700, what: 'request 1', bytes: 3 },
    { line: 'wrong', atMs: 1_800, what: 'request 2', bytes: 4 },
  ];
  const { lostWebSockets, failedTransfers, wrongBytes, reasons } = figuresOf(lines, TIMES, undefined);
  assert.deepEqual([lostWebSockets, failedTransfers, wrongBytes], [1, 1, 7]);
  assert.equal(reasons['lost: not opened: ECONNREFUSED'], 1);
});

test('a slope is that of the straight line, by the hour', () => {
  assert.equal(slopePerHour([0, 1, 2, 3].map((minute) => [minute * 60_000, 10 + minute * 2])), 120);
  assert.equal(slopePerHour([[0, 7]]), 0);
});
