import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { originalWorkload } from '../../../cli/kube/annotation.ts';
import { keptChanges, undoneChanges } from '../../../cli/kube/changes.ts';
import { FIELD_MANAGER } from '../../../cli/kube/client.ts';
import { othersDiff } from '../../../cli/kube/kept.ts';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { templateRestored } from '../../../cli/kube/restore.ts';
import { revertText, whoChanged } from '../../../cli/kube/reverted.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const original = rawWorkload('Deployment', [rawContainer()]);
const service = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);
const { workload, record } = planInstall(original, installRequest(original, service), AT);
const intercepted = workload.after;
const ref = { kind: 'Deployment', namespace: 'shop', name: 'web' } as const;

function edited(edit: (workload: Workload) => void): Workload {
  const copy = structuredClone(intercepted);
  edit(copy);
  return copy;
}

function app({ spec }: Workload) {
  const [first] = spec.template.spec.containers;
  assert.ok(first);
  return first;
}

describe('an intercept that was put back', () => {
  test('is none while it is as we have made it, whatever else somebody changes', () => {
    assert.equal(revertText(intercepted, record.installId), undefined);
    const scaled = edited((copy) => {
      copy.spec.replicas = 5;
      app(copy).image = 'shop:2';
      copy.spec.template.spec.terminationGracePeriodSeconds = 3;
    });
    assert.equal(revertText(scaled, record.installId), undefined);
  });

  test('is seen where the agent is gone, another is there, or its name of a port is the app’s again', () => {
    assert.match(revertText(original, record.installId) ?? '', /taken out/);
    assert.match(revertText(intercepted, 'another') ?? '', /another agent/);
    const named = edited((copy) => {
      app(copy).ports = [{ name: 'http', containerPort: 8080, protocol: 'TCP' }];
    });
    assert.match(revertText(named, record.installId) ?? '', /ports\[.*\]\.name has been put back/);
  });
});

describe('who has written an object', () => {
  const by = (managers: readonly [string, string][]): Workload =>
    edited((copy) => {
      copy.metadata.managedFields = managers.map(([manager, time]) => ({
        manager,
        operation: 'Update',
        time,
        fieldsV1: {},
      }));
    });

  test('is the manager whose entry is new or changed, and never the controllers that follow', () => {
    const before = by([
      ['helm', '1'],
      [FIELD_MANAGER, '2'],
      ['kube-controller-manager', '2'],
    ]);
    const after = by([
      ['helm', '1'],
      [FIELD_MANAGER, '2'],
      ['kube-controller-manager', '4'],
      ['argocd-controller', '3'],
    ]);
    assert.equal(whoChanged(before, after), 'argocd-controller');
    assert.equal(whoChanged(before, before), undefined);
  });

  test('is this program where nobody else has', () => {
    assert.equal(whoChanged(by([[FIELD_MANAGER, '2']]), by([[FIELD_MANAGER, '3']])), FIELD_MANAGER);
  });
});

describe('what others have changed', () => {
  test('is kept where it is neither ours nor what was before, and told with both', () => {
    const changes = [
      { path: ['a'], was: 1, now: 2 },
      { path: ['b'], was: 1, now: 2 },
      { path: ['c'], now: 2 },
    ];
    assert.deepEqual(keptChanges({ a: 3, b: 1, c: 2 }, changes), [{ path: ['a'], was: 1, ours: 2, theirs: 3 }]);
  });

  test('counts as undone where it is as before again, or what we took out is in again', () => {
    const changes = [
      { path: ['a'], was: 1, now: 2 },
      { path: ['b'], was: 1, now: 2 },
      { path: ['c'], was: 1 },
      { path: ['d'], now: 1 },
    ];
    assert.deepEqual(undoneChanges({ a: 1, b: 2, c: 7 }, changes), [changes[0], changes[2], changes[3]]);
  });

  test('is shown without what servers set, and without anything of ours', () => {
    const restored = originalWorkload(
      templateRestored(
        ref,
        edited((copy) => {
          copy.spec.replicas = 5;
        }),
      ),
    );
    const diff = othersDiff(original, {
      ...restored,
      metadata: { ...restored.metadata, resourceVersion: '7', generation: 9 },
    });
    assert.deepEqual(
      diff.split('\n').filter((line) => /^[+-] /.test(line)),
      ['-  replicas: 2', '+  replicas: 5'],
    );
  });
});

describe('a template that a colleague has changed', () => {
  test('is restored where the container has another name by now', () => {
    const renamed = edited((copy) => {
      app(copy).name = 'main';
    });
    const back = templateRestored(ref, renamed).spec.template.spec.containers;
    assert.deepEqual(back, [{ ...app(original), name: 'main' }]);
  });

  test('is restored where a new probe asks for the port by the name that we gave', () => {
    const probed = edited((copy) => {
      app(copy).livenessProbe = { httpGet: { path: '/', port: 'ki-http' } };
    });
    assert.equal(app(templateRestored(ref, probed)).livenessProbe?.httpGet?.port, 'http');
  });
});
