import assert from 'node:assert/strict';
import { test } from 'vitest';
import { inventory } from '../../../cli/kube/inventory.ts';
import { INTERCEPT_ANNOTATION } from '../../../cli/kube/names.ts';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { WORKLOAD_KINDS, type WorkloadKind } from '../../../cli/kube/workload-kinds.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

function intercepted(kind: WorkloadKind): Workload {
  const workload = rawWorkload(kind, [rawContainer()]);
  const request = installRequest(workload, rawService([{ port: 80, targetPort: 'http' }]));
  return planInstall(workload, request, '2026-01-01T00:00:00.000Z').workload.after;
}

test('an install is found on a workload of every kind, with the pods it wants', () => {
  for (const kind of WORKLOAD_KINDS) {
    const found = inventory({ [kind]: [intercepted(kind)] }, []);
    assert.deepEqual(
      found.map(({ ref, install, wanted }) => [ref, install.state, wanted]),
      [[{ kind, namespace: 'shop', name: 'web' }, 'installed', 2]],
    );
  }
});

test('an annotation that a Deployment’s controller has copied to a ReplicaSet is no install', () => {
  const copy = rawWorkload('ReplicaSet', [rawContainer()]);
  copy.metadata.annotations = { [INTERCEPT_ANNOTATION]: '{}' };
  copy.metadata.ownerReferences = [
    { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'u', controller: true },
  ];
  assert.deepEqual(inventory({ ReplicaSet: [copy] }, []), []);
});
