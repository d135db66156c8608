import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { isPodReady, type Pod, type WorkloadKind } from '../../../cli/kube/objects.ts';
import { podToReplace } from '../../../cli/kube/rollout-replace.ts';
import { rawPod } from './raw-objects.ts';

function pod(name: string, ready = true): Pod {
  const metadata = { name, namespace: 'shop', uid: name };
  return rawPod({ metadata, ...(ready ? {} : { status: { phase: 'Pending', conditions: [] } }) });
}

const chosen = (
  kind: WorkloadKind,
  wanted: number,
  present: readonly Pod[],
  old: readonly Pod[],
  leaving: readonly Pod[] = [],
): string | undefined => podToReplace(kind, { wanted, present, old, leaving })?.metadata.name;

describe('of the pods that nobody else replaces', () => {
  test('the last of a StatefulSet goes first, of the others the first by name', () => {
    const old = ['web-2', 'web-10', 'web-1'].map((name) => pod(name));
    assert.equal(chosen('StatefulSet', 3, [], old), 'web-10');
    assert.equal(chosen('ReplicaSet', 3, [], old), 'web-1');
    assert.equal(chosen('DaemonSet', 3, [], old), 'web-1');
  });

  test('none goes before the successor of the last one is there and ready', () => {
    const old = [pod('web-0'), pod('web-1')];
    assert.equal(chosen('StatefulSet', 3, [], old, [pod('web-2')]), undefined);
    for (const kind of ['StatefulSet', 'DaemonSet', 'ReplicaSet'] as const) {
      assert.equal(chosen(kind, 3, [], old), undefined);
      assert.equal(chosen(kind, 3, [pod('web-2', false)], old), undefined);
      assert.notEqual(chosen(kind, 3, [pod('web-2')], old), undefined);
    }
  });

  test('one that does not serve goes first: it is missing already', () => {
    assert.equal(chosen('StatefulSet', 2, [], [pod('web-0', false), pod('web-1')]), 'web-0');
    assert.equal(chosen('ReplicaSet', 3, [pod('c')], [pod('a'), pod('b', false)]), 'b');
  });

  test('a ReplicaSet’s goes although the last one takes its time to end: its successor is there', () => {
    assert.equal(chosen('ReplicaSet', 2, [pod('c')], [pod('b')], [pod('a')]), 'b');
    assert.equal(chosen('DaemonSet', 2, [pod('c')], [pod('b')], [pod('a')]), undefined);
  });

  test('whatever the pods are like, a serving one is only told to end when none is missing, and no present one ever', () => {
    const some = fc.array(fc.boolean(), { maxLength: 4 });
    const kinds = fc.constantFrom<WorkloadKind>('StatefulSet', 'DaemonSet', 'ReplicaSet');
    const all = fc.tuple(kinds, some, some, some, fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(all, ([kind, present, old, leaving, wanted]) => {
        const named = (group: string, states: readonly boolean[]): Pod[] =>
          states.map((ready, index) => pod(`${group}-${index}`, ready));
        const pods = { wanted, present: named('p', present), old: named('o', old), leaving: named('l', leaving) };
        const picked = podToReplace(kind, pods);
        if (picked === undefined) return;
        assert.ok(pods.old.includes(picked));
        if (isPodReady(picked)) assert.ok([...pods.present, ...pods.old].filter(isPodReady).length >= wanted);
      }),
    );
  });
});
