import assert from 'node:assert/strict';
import { test } from 'vitest';
import { createReporter, reporterForm } from '../../../cli/ui/reporter.ts';
import { formatAge, formatTable } from '../../../cli/ui/table.ts';

function collect(form: 'terminal' | 'plain' | 'json'): {
  report: ReturnType<typeof createReporter>;
  text: () => string;
} {
  let text = '';
  const report = createReporter({
    form,
    out: {
      write: (chunk) => {
        text += chunk;
      },
    },
    colour: false,
  });
  return { report, text: () => text };
}

test('JSON lines hold each event as it is', () => {
  const { report, text } = collect('json');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  assert.equal(text(), '{"event":"rollout","ready":1,"wanted":2}\n');
});

test('a plain line is never overwritten and never repeated', () => {
  const { report, text } = collect('plain');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 2, wanted: 2 });
  assert.equal(text(), '… rolling out 1/2\n✓ rolled out 2/2\n');
});

test('on a terminal what passes is overwritten by what follows', () => {
  const { report, text } = collect('terminal');
  report({ event: 'rollout', ready: 1, wanted: 2 });
  report({ event: 'rollout', ready: 2, wanted: 2 });
  assert.equal(text(), '… rolling out 1/2\r\x1b[2K✓ rolled out 2/2\n');
});

test('the form follows --json and the terminal', () => {
  assert.equal(reporterForm(true, { isTTY: true }), 'json');
  assert.equal(reporterForm(false, { isTTY: true }), 'terminal');
  assert.equal(reporterForm(false, {}), 'plain');
});

test('a table pads its columns and leaves no space at the line’s end', () => {
  assert.equal(formatTable(['a', 'bb'], [['xxx', 'y']]), 'A    BB\nxxx  y\n');
});

test('ages show their largest unit', () => {
  assert.deepEqual([5e3, 180e3, 3 * 3600e3, 5 * 86_400e3, -1].map(formatAge), ['5s', '3m', '3h', '5d', '0s']);
});
