import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { planDiff } from '../../../cli/kube/diff.ts';
import { unifiedDiff } from '../../../cli/kube/line-diff.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { withoutAgent } from '../../../cli/kube/plan-service.ts';
import { yamlLines } from '../../../cli/kube/yaml-text.ts';
import { installRequest, portsThrough, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

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
    /^\+ {4}targetPort: ki-9901$/m,
    /redacted/,
  ])
    assert.match(text, shown);
  assert.doesNotMatch(text, /secretly/);
});

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const AT = '2026-01-01T00:00:00Z';

/** The lines of a dry run that say in words what changes, without our name of the install. */
function words(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line) => (line.startsWith('# ') ? [line.slice(2).replace(/-[0-9a-f]{10}-/, '-')] : []));
}

test('the dry run says in words what changes of each object', () => {
  const lifecycle = { preStop: { tcpSocket: { port: 'http' } } };
  const workload = rawWorkload('Deployment', [rawContainer({ lifecycle })], { replicas: 4 });
  const service = rawService([
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
    { name: 'admin', port: 81, protocol: 'TCP', targetPort: 8081 },
  ]);
  const asking = (port: number): string[] => {
    const ports = portsThrough(service, workload, port);
    const request = installRequest(workload, service, { ports });
    return words(planDiff(planInstall(workload, request, AT)));
  };
  const retarget =
    'service/web: after the rollout adds annotation kube-intercept.dev/intercept; points port 81 to the agent, ki-9902 (was 8081)';
  assert.deepEqual(asking(81), [
    "configmap/kube-intercept-web-0badcafe: is created: the agent's code",
    "secret/kube-intercept-web-0badcafe: is created: the agent's key and certificate",
    [
      'deployment/web: adds container kube-intercept-agent, 2 volumes, annotation kube-intercept.dev/intercept',
      'sets spec.strategy.rollingUpdate.maxUnavailable to 0 (was 25%)',
      'renames port http of container app to ki-http',
      'points readinessProbe of container app to port ki-http',
      'points lifecycle.preStop of container app to port ki-http',
    ].join('; '),
    retarget,
  ]);
  assert.equal(asking(80).at(-1), `${retarget}, not asked for: the agent passes it on to the app`);
});

test('the dry run elides our annotation and leaves out the manifest that kubectl keeps', () => {
  const workload = rawWorkload('Deployment', [rawContainer()]);
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 8080 }]);
  workload.metadata.annotations = { [LAST_APPLIED]: '{"long":1}', team: 'shop' };
  service.metadata.annotations = { [LAST_APPLIED]: '{"long":2}' };
  const plan = planInstall(workload, installRequest(workload, service), AT);
  const text = planDiff(plan);
  assert.doesNotMatch(text, /last-applied|"?long|createdAt/);
  assert.match(
    text,
    /^ {5}team: shop\n\+ {4}"?kube-intercept.dev\/intercept"?: "elided: install 0badcafe, records 6 changes with what was before"$/m,
  );
  assert.match(text, /^\+ {4}"?kube-intercept.dev\/intercept"?: "elided: install 0badcafe, records 2 changes/m);
  const [planned] = plan.services;
  assert.ok(planned);
  const again = planInstall(plan.workload.after, installRequest(plan.workload.after, planned.after), AT);
  assert.equal(planDiff(again), '# deployment/web: no change, the agent is there already\n# service/web: no change\n');
});

test('the dry run over an unfinished restore tells only what is not so already', () => {
  const workload = rawWorkload('Deployment', [rawContainer()], { replicas: 4 });
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 8080 }]);
  const first = planInstall(workload, installRequest(workload, service), AT);
  const left = withoutAgent(first.workload.after, first.record);
  const second = planInstall(left, installRequest(left, service, { installId: 'feedbeef' }), AT);
  assert.equal(
    words(planDiff(second)).find((line) => line.startsWith('deployment')),
    'deployment/web: adds container kube-intercept-agent, 2 volumes, annotation kube-intercept.dev/intercept; ' +
      'gives container app a preStop hook that the agent answers; sets spec.template.spec.terminationGracePeriodSeconds to 40 (was unset); takes back what install 0badcafe has left',
  );
});

test('the dry run says what the modes do: who goes out, who comes in, which probes go elsewhere', () => {
  const workload = rawWorkload('StatefulSet', [rawContainer()]);
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }], { clusterIP: 'None' });
  const planned = (kind: 'replace' | 'redirect'): string[] => {
    const plan = planInstall(workload, installRequest(workload, service, { mode: { kind } }), AT);
    return words(planDiff(plan)).slice(2);
  };
  assert.deepEqual(planned('replace'), [
    'statefulset/web: adds container kube-intercept-agent, 2 volumes, annotation kube-intercept.dev/intercept; takes container app out, whose place the agent has',
  ]);
  assert.deepEqual(planned('redirect'), [
    'statefulset/web: adds container kube-intercept-agent, init container kube-intercept-redirect, 2 volumes, annotation kube-intercept.dev/intercept; points readinessProbe of container app to port 9903; ' +
      'gives container app a preStop hook that the agent answers; sets spec.template.spec.terminationGracePeriodSeconds to 40 (was unset)',
  ]);
});

test('the dry run of an extension creates nothing, and tells what is renewed', () => {
  const workload = rawWorkload('Deployment', [rawContainer()]);
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }]);
  const request = installRequest(workload, service);
  const run = planInstall(workload, { ...request, services: [], ports: [] }, AT);
  const text = planDiff(planInstall(run.workload.after, request, AT));
  assert.deepEqual(words(text), [
    [
      'deployment/web: renews container kube-intercept-agent of install 0badcafe, for what it does not serve yet',
      'renames port http of container app to ki-http',
      'points readinessProbe of container app to port ki-http',
    ].join('; '),
  ]);
  assert.doesNotMatch(text, /\/dev\/null/);
});
