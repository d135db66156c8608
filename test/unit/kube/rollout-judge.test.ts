import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Pod, Workload, WorkloadKind } from '../../../cli/kube/objects.ts';
import { judgeRollout, type ReplicaSet, type RolloutState } from '../../../cli/kube/rollout-judge.ts';
import { rawContainer, rawPod, rawWorkload } from './raw-objects.ts';

const REVISION = 'deployment.kubernetes.io/revision';

function replicaSet(
  uid: string,
  revision: string,
  conditions: NonNullable<ReplicaSet['status']>['conditions'] = [],
): ReplicaSet {
  return { metadata: { name: uid, uid, annotations: { [REVISION]: revision } }, spec: {}, status: { conditions } };
}

function podOf(uid: string, owner: string, ready: boolean, revision = ''): Pod {
  const kind = owner === 'uid-web' ? 'StatefulSet' : 'ReplicaSet';
  return rawPod({
    metadata: {
      name: uid,
      uid,
      labels: { 'controller-revision-hash': revision },
      ownerReferences: [{ apiVersion: 'apps/v1', kind, name: owner, uid: owner, controller: true }],
    },
    ...(ready ? {} : { status: { phase: 'Pending', conditions: [], containerStatuses: [] } }),
  });
}

function state(
  kind: WorkloadKind,
  status: Workload['status'],
  pods: Pod[],
  sets: ReplicaSet[] = [],
  restoring = false,
): RolloutState {
  const workload = rawWorkload(kind, [rawContainer()]);
  workload.metadata.generation = 2;
  workload.metadata.annotations = { [REVISION]: '2' };
  workload.status = { observedGeneration: 2, ...status };
  return {
    kind,
    generation: 2,
    restoring,
    workload,
    pods: new Map(pods.map((pod) => [pod.metadata.uid ?? '', pod])),
    replicaSets: new Map(sets.map((set) => [set.metadata.uid ?? '', set])),
    eventProblems: new Map(),
    takenOut: new Map(),
    asked: new Set(),
  };
}

describe('a Deployment', () => {
  const sets = [replicaSet('old', '1'), replicaSet('new', '2')];

  test('is done when all wanted pods are of the present template and available, and no other is left', () => {
    const done = state('Deployment', { replicas: 2, updatedReplicas: 2, availableReplicas: 2 }, [], sets);
    assert.equal(judgeRollout(done).done, true);
    for (const status of [
      { replicas: 3, updatedReplicas: 2, availableReplicas: 3 },
      { replicas: 2, updatedReplicas: 1, availableReplicas: 2 },
      { replicas: 2, updatedReplicas: 2, availableReplicas: 1 },
    ])
      assert.equal(judgeRollout(state('Deployment', status, [], sets)).done, false);
  });

  test('is not judged before its controller has seen the change', () => {
    const early = state(
      'Deployment',
      { observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2 },
      [],
      sets,
    );
    const view = judgeRollout(early);
    assert.equal(view.done, false);
    assert.match(view.waitingFor ?? '', /controller/);
  });

  test('counts ready pods of the present ReplicaSet only', () => {
    const pods = [podOf('a', 'old', true), podOf('b', 'new', true), podOf('c', 'new', false)];
    const view = judgeRollout(
      state('Deployment', { replicas: 3, updatedReplicas: 2, availableReplicas: 2 }, pods, sets),
    );
    assert.deepEqual([view.updatedReady, view.wanted], [1, 2]);
    assert.match(view.waitingFor ?? '', /^c: /);
  });

  test('that is being restored does not fail for what the ReplicaSet being left was refused', () => {
    const failing = { type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'exceeded quota' };
    const status = { conditions: [failing], replicas: 2, updatedReplicas: 1 };
    assert.match(judgeRollout(state('Deployment', status, [], sets)).failure?.problem.message ?? '', /quota/);
    assert.equal(judgeRollout(state('Deployment', status, [], sets, true)).failure, undefined);
    const own = [replicaSet('old', '1'), replicaSet('new', '2', [failing])];
    assert.match(judgeRollout(state('Deployment', status, [], own, true)).failure?.problem.message ?? '', /quota/);
  });

  test('that is paused says so', () => {
    const paused = state('Deployment', { replicas: 2, updatedReplicas: 0 }, [], sets);
    if (paused.workload !== undefined) paused.workload.spec.paused = true;
    assert.equal(judgeRollout(paused).waitingFor, 'the rollout is paused');
  });
});

describe('a StatefulSet', () => {
  const rolledOut = { replicas: 2, readyReplicas: 2, updatedReplicas: 2, currentRevision: 'r2', updateRevision: 'r2' };
  const podsOf = (...revisions: string[]): Pod[] =>
    revisions.map((revision, ordinal) => podOf(`web-${ordinal}`, 'uid-web', true, revision));
  const isDone = (status: Workload['status'], pods: Pod[]): boolean =>
    judgeRollout(state('StatefulSet', status, pods)).done;

  test('is done when its update revision has become the current one', () => {
    const pods = podsOf('r2', 'r2');
    assert.equal(isDone(rolledOut, pods), true);
    assert.equal(isDone({ ...rolledOut, currentRevision: 'r1' }, pods), false);
    assert.equal(isDone({ ...rolledOut, readyReplicas: 1 }, pods), false);
    assert.equal(isDone({ ...rolledOut, updatedReplicas: 1 }, pods), false);
  });

  test('whose unfinished rollout is taken back is not done before the last pod of it has been replaced', () => {
    // web-1 has the agent (r2), web-0 is just being replaced, and the template is that of r1 again
    const status = { replicas: 2, readyReplicas: 2, updatedReplicas: 1, currentRevision: 'r1', updateRevision: 'r1' };
    const leaving = podOf('web-0', 'uid-web', true, 'r1');
    leaving.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
    const withAgent = podOf('web-1', 'uid-web', true, 'r2');
    // even where the status is ahead of the pods, or behind
    for (const first of [
      leaving,
      podOf('web-0', 'uid-web', false, 'r2'),
      podOf('web-0', 'uid-web', true, 'r2'),
      podOf('web-0', 'uid-web', true, 'r1'),
    ])
      for (const updatedReplicas of [1, 2])
        assert.equal(isDone({ ...status, updatedReplicas }, [first, withAgent]), false);
    const back = { ...status, updatedReplicas: 2 };
    assert.equal(isDone(back, [podOf('web-0', 'uid-web', true, 'r1')]), false);
    assert.equal(isDone(back, [podOf('web-0', 'uid-web', true, 'r1'), podOf('web-1', 'uid-web', false, 'r1')]), false);
    assert.equal(isDone(back, podsOf('r1', 'r1')), true);
  });

  test('with a partition waits for the pods from there on only', () => {
    const judged = (start: number | undefined, ...pods: Pod[]): boolean => {
      const status = { replicas: 2, readyReplicas: 2, updatedReplicas: 1, currentRevision: 'r1', updateRevision: 'r2' };
      const partitioned = state('StatefulSet', status, pods);
      assert.ok(partitioned.workload !== undefined);
      partitioned.workload.spec.updateStrategy = { rollingUpdate: { partition: 1 } };
      if (start !== undefined) partitioned.workload.spec.ordinals = { start };
      return judgeRollout(partitioned).done;
    };
    assert.equal(judged(undefined, ...podsOf('r1', 'r2')), true);
    assert.equal(judged(undefined, ...podsOf('r2', 'r1')), false);
    assert.equal(judged(5, podOf('web-5', 'uid-web', true, 'r1'), podOf('web-6', 'uid-web', true, 'r2')), true);
    assert.equal(judged(5, podOf('web-5', 'uid-web', true, 'r2'), podOf('web-6', 'uid-web', true, 'r1')), false);
  });

  test('has stuck pods where one of another revision is not ready', () => {
    const status = { replicas: 2, readyReplicas: 1, currentRevision: 'r1', updateRevision: 'r2' };
    const pods = [
      podOf('web-0', 'uid-web', true, 'r1'),
      podOf('web-1', 'uid-web', false, 'r1'),
      podOf('x', 'uid-web', false, 'r2'),
    ];
    const view = judgeRollout(state('StatefulSet', status, pods));
    assert.deepEqual(
      view.stuck.map(({ metadata }) => metadata.name),
      ['web-1'],
    );
  });
});

test('an event says why a container is not created, and is not put down to a container', () => {
  const pod = podOf('c', 'new', false);
  const created = { name: 'app', ready: false, state: { waiting: { reason: 'ContainerCreating' } } };
  pod.status = { phase: 'Pending', conditions: [], containerStatuses: [created] };
  const waiting = state('Deployment', { replicas: 2, updatedReplicas: 1 }, [pod], [replicaSet('new', '2')]);
  const event = { severity: 'waiting', reason: 'FailedMount', message: 'no such volume' } as const;
  waiting.eventProblems.set('c', { ...event, container: undefined, exitCode: undefined });
  assert.equal(judgeRollout(waiting).waitingFor, 'c: FailedMount: no such volume');
  created.state.waiting.reason = 'CrashLoopBackOff';
  assert.equal(judgeRollout(waiting).waitingFor, 'c: container app: CrashLoopBackOff');
});

test('a ReplicaSet is not rolled out before the last pod that was taken out of it is told to end', () => {
  const judged = state('ReplicaSet', { readyReplicas: 1, availableReplicas: 1 }, [podOf('new', 'uid-web', true)]);
  if (judged.workload !== undefined) judged.workload.spec.replicas = 1;
  assert.equal(judgeRollout(judged).done, true);
  const out = podOf('old', 'nobody', true);
  judged.takenOut.set('old', out);
  const view = judgeRollout(judged);
  assert.deepEqual([view.done, view.takenOut, view.waitingFor], [false, [out], 'old: the old pod to leave']);
  out.metadata.deletionTimestamp = '2026-01-01T00:00:00Z';
  assert.equal(judgeRollout(judged).done, true);
});
