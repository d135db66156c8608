import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { planDiff } from '../../../cli/kube/diff.ts';
import { unifiedDiff } from '../../../cli/kube/line-diff.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { yamlLines } from '../../../cli/kube/yaml-text.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const anyLines = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 30 });

/** `patch`, for diffs of unifiedDiff. */
function patched(before: readonly string[], diff: string): string[] {
  const after: string[] = [];
  let next = 0;
  for (const line of diff.split('\n').slice(2, -1)) {
    const hunk = /^@@ -(\d+),(\d+) /.exec(line);
    if (hunk !== null) {
      const start = Number(hunk[1]) - (hunk[2] === '0' ? 0 : 1);
      after.push(...before.slice(next, start));
      next = start;
      continue;
    }
    if (line[0] !== '+') assert.equal(before[next++], line.slice(1));
    if (line[0] !== '-') after.push(line.slice(1));
  }
  return [...after, ...before.slice(next)];
}

test('a diff holds what is needed to make the one text of the other', () => {
  fc.assert(
    fc.property(anyLines, anyLines, (before, after) => {
      assert.deepEqual(patched(before, unifiedDiff('a', 'b', before, after)), after);
    }),
    { numRuns: 1000 },
  );
});

test('a small change in a long text is shown with three lines around it', () => {
  const before = Array.from({ length: 20 }, (_, index) => `line ${index}`);
  const after = before.with(10, 'new');
  assert.equal(
    unifiedDiff('a', 'b', before, after),
    [
      '--- a',
      '+++ b',
      '@@ -8,7 +8,7 @@',
      ' line 7',
      ' line 8',
      ' line 9',
      '-line 10',
      '+new',
      ' line 11',
      ' line 12',
      ' line 13',
      '',
    ].join('\n'),
  );
});

test('objects are shown as YAML that quotes what would read as something else', () => {
  assert.deepEqual(
    yamlLines({ a: [{ b: 1, c: 'x y' }, ['d']], e: {}, f: [], g: 'true', h: '8080', i: null, j: 'ok' }),
    ['a:', '- b: 1', '  c: "x y"', '- - d', 'e: {}', 'f: []', 'g: "true"', 'h: "8080"', 'i: null', 'j: ok'],
  );
});

test('the dry run shows every object, the code elided and the secret values redacted', () => {
  const workload = rawWorkload('Deployment', [rawContainer()]);
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 8080 }]);
  const request = installRequest(workload, service, { agent: { image: 'node:22-slim', code: 'secretly()' } });
  const text = planDiff(planInstall(workload, request, '2026-01-01T00:00:00Z'));
  for (const shown of [
    /^\+\+\+ shop\/configmap\/kube-intercept-web-/m,
    /^\+\+\+ shop\/secret\/kube-intercept-web-/m,
    /^--- shop\/deployment\/web$/m,
    /^\+ {6}- name: kube-intercept-agent$/m,
    /^- {4}targetPort: 8080$/m,
    /^\+ {4}targetPort: 9901$/m,
    /redacted/,
  ])
    assert.match(text, shown);
  assert.doesNotMatch(text, /secretly/);
});
