import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { ChangeList } from '../../../cli/kube/change-list.ts';
import type { Workload, WorkloadKind } from '../../../cli/kube/objects.ts';
import { keepCountDuringRollout } from '../../../cli/kube/plan-strategy.ts';
import { rawContainer, rawWorkload } from './raw-objects.ts';

function kept(
  kind: WorkloadKind,
  over: Partial<Workload['spec']> = {},
): { spec: Workload['spec']; warnings: string[] } {
  const list = new ChangeList(rawWorkload(kind, [rawContainer()], over));
  const warnings = keepCountDuringRollout(kind, list);
  return { spec: list.object.spec, warnings };
}

const rolling = (rollingUpdate: {
  maxUnavailable?: number;
  maxSurge?: number | string;
}): Partial<Workload['spec']> => ({
  updateStrategy: { type: 'RollingUpdate', rollingUpdate },
});

describe('a DaemonSet', () => {
  test('surges where the server knows how, and nowhere else', () => {
    const { spec, warnings } = kept('DaemonSet', rolling({ maxUnavailable: 1, maxSurge: 0 }));
    assert.deepEqual(spec.updateStrategy?.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
    assert.deepEqual(warnings, []);
    const old = kept('DaemonSet', rolling({ maxUnavailable: 1 }));
    assert.deepEqual(old.spec.updateStrategy?.rollingUpdate, { maxUnavailable: 1 });
    assert.match(old.warnings[0] ?? '', /daemonset\/web is rolled out in place: each node in turn/);
  });

  test('that surges by itself is left as it is', () => {
    const own = { maxUnavailable: 0, maxSurge: '10%' };
    assert.deepEqual(kept('DaemonSet', rolling(own)).spec.updateStrategy?.rollingUpdate, own);
  });

  test('whose pods hold a port of the node cannot have two there', () => {
    const template = rawWorkload('DaemonSet', [rawContainer({ ports: [{ containerPort: 80, hostPort: 80 }] })]).spec
      .template;
    const { spec, warnings } = kept('DaemonSet', { ...rolling({ maxUnavailable: 1, maxSurge: 0 }), template });
    assert.deepEqual(spec.updateStrategy?.rollingUpdate, { maxUnavailable: 1, maxSurge: 0 });
    assert.match(warnings[0] ?? '', /in place/);
  });
});

test('what no controller replaces is told, with the gap where there is one pod', () => {
  const onDelete = { updateStrategy: { type: 'OnDelete' } };
  for (const [kind, over] of [
    ['StatefulSet', onDelete],
    ['DaemonSet', onDelete],
    ['ReplicaSet', {}],
  ] as const) {
    const { spec, warnings } = kept(kind, over);
    assert.deepEqual(spec.updateStrategy, 'updateStrategy' in over ? over.updateStrategy : undefined);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /deleted and made anew one at a time/);
  }
  assert.match(kept('ReplicaSet', { replicas: 1 }).warnings[1] ?? '', /one pod .* no pod for some seconds/);
});

test('a canary Rollout surges first, and a blue-green one is left as it is', () => {
  assert.deepEqual(kept('Rollout', { strategy: { canary: { maxUnavailable: 1, maxSurge: 0 } } }).spec.strategy, {
    canary: { maxUnavailable: 0, maxSurge: 1 },
  });
  // Argo's defaults are a quarter each: of two replicas one more, and none fewer
  assert.deepEqual(kept('Rollout', { strategy: { canary: {} } }).spec.strategy, { canary: {} });
  const blueGreen = { strategy: { blueGreen: { activeService: 'web' } } };
  assert.deepEqual(kept('Rollout', blueGreen).spec.strategy, blueGreen.strategy);
});
