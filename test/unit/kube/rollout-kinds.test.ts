import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { AGENT_CONTAINER, CREDENTIALS_VOLUME } from '../../../cli/kube/names.ts';
import { isObserved, type Pod, type PodSpec, type Workload, type WorkloadKind } from '../../../cli/kube/objects.ts';
import { hasAgentOf } from '../../../cli/kube/pod-revision.ts';
import { judgeRollout, type ReplicaSet, type RolloutView } from '../../../cli/kube/rollout-judge.ts';
import { AGENT_CONFIG_ENV } from '../../../src/protocol/agent-config.ts';
import { rawContainer, rawPod, rawWorkload } from './raw-objects.ts';

/** A pod's spec with the agent of an install, or (undefined) without one. */
function specOf(install: string | undefined, config = '{}'): PodSpec {
  if (install === undefined) return { containers: [rawContainer()] };
  const agent = { name: AGENT_CONTAINER, env: [{ name: AGENT_CONFIG_ENV, value: config }] };
  const volume = { name: CREDENTIALS_VOLUME, secret: { secretName: install } };
  return { containers: [rawContainer(), agent], volumes: [volume] };
}

interface PodOptions {
  readonly ready?: boolean;
  readonly install?: string | undefined;
  readonly owner?: string;
  readonly hash?: string;
  readonly phase?: string;
}

function podOf(
  name: string,
  { ready = true, install, owner = 'uid-web', hash = '', phase = 'Pending' }: PodOptions,
): Pod {
  const reference = { apiVersion: 'apps/v1', kind: 'Any', name: owner, uid: owner, controller: true };
  return rawPod({
    metadata: { name, uid: name, labels: { 'rollouts-pod-template-hash': hash }, ownerReferences: [reference] },
    spec: specOf(install),
    ...(ready ? {} : { status: { phase, conditions: [], containerStatuses: [] } }),
  });
}

function judged(
  kind: WorkloadKind,
  install: string | undefined,
  status: Workload['status'],
  pods: readonly Pod[],
  change: (workload: Workload) => void = () => {},
  restoring = false,
): RolloutView {
  const workload = rawWorkload(kind, []);
  workload.metadata.generation = 2;
  workload.spec.template.spec = specOf(install);
  workload.status = { observedGeneration: 2, ...status };
  change(workload);
  const set: ReplicaSet = { metadata: { name: 'set', uid: 'set' }, spec: {} };
  return judgeRollout({
    kind,
    generation: 2,
    restoring,
    workload,
    pods: new Map(pods.map((pod) => [pod.metadata.uid ?? '', pod])),
    replicaSets: new Map([['set', set]]),
    eventProblems: new Map(),
    takenOut: new Map(),
    asked: new Set(),
  });
}

const onDelete = (workload: Workload): void => {
  workload.spec.updateStrategy = { type: 'OnDelete' };
};

test('a pod is of the template when both have the same install with the same configuration, or none', () => {
  const workload = (install: string | undefined, config?: string): Workload => {
    const made = rawWorkload('ReplicaSet', []);
    made.spec.template.spec = specOf(install, config);
    return made;
  };
  const pod = (install: string | undefined, config?: string): Pod => rawPod({ spec: specOf(install, config) });
  assert.equal(hasAgentOf(pod('a'), workload('a')), true);
  assert.equal(hasAgentOf(pod(undefined), workload(undefined)), true);
  assert.equal(hasAgentOf(pod('a'), workload('b')), false);
  assert.equal(hasAgentOf(pod('a', '{"routes":[]}'), workload('a')), false);
  assert.equal(hasAgentOf(pod('a'), workload(undefined)), false);
  assert.equal(hasAgentOf(pod(undefined), workload('a')), false);
});

describe('a DaemonSet', () => {
  const done = { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2, numberAvailable: 2 };
  const both = [podOf('a', { install: 'i' }), podOf('b', { install: 'i' })];

  test('is done when every node has an available pod of the present template', () => {
    const view = judged('DaemonSet', 'i', done, both);
    assert.deepEqual([view.done, view.updatedReady, view.wanted], [true, 2, 2]);
    for (const field of ['updatedNumberScheduled', 'numberReady', 'numberAvailable'])
      assert.equal(judged('DaemonSet', 'i', { ...done, [field]: 1 }, both).done, false, field);
    assert.equal(judged('DaemonSet', 'i', { ...done, observedGeneration: 1 }, both).done, false);
  });

  test('is not done while the status is ahead of its pods', () => {
    assert.equal(judged('DaemonSet', 'i', done, [podOf('a', { install: 'i' }), podOf('b', {})]).done, false);
    assert.equal(judged('DaemonSet', 'i', done, both.slice(0, 1)).done, false);
  });

  test('that rolls out by itself has no pod deleted by us', () => {
    const view = judged('DaemonSet', 'i', { ...done, updatedNumberScheduled: 1 }, [podOf('a', {}), podOf('b', {})]);
    assert.equal(view.replace, undefined);
    assert.match(view.waitingFor ?? '', /pods being created/);
  });

  test('with OnDelete is done without the counts of updated pods, and one old pod after the other is ours to delete', () => {
    const status = { ...done, updatedNumberScheduled: 0 };
    assert.equal(judged('DaemonSet', 'i', status, both, onDelete).done, true);
    const old = [podOf('a', {}), podOf('b', {})];
    assert.equal(judged('DaemonSet', 'i', status, old, onDelete).replace?.metadata.name, 'a');
    const halfWay = [podOf('a2', { install: 'i' }), podOf('b', {})];
    assert.equal(judged('DaemonSet', 'i', status, halfWay, onDelete).replace?.metadata.name, 'b');
  });

  test('nobody deletes a pod before the controller has seen the template', () => {
    const view = judged('DaemonSet', 'i', { ...done, observedGeneration: 1 }, [podOf('a', {})], onDelete);
    assert.equal(view.replace, undefined);
  });

  test('has pods that have ended and stay for their logs: they are no old pods to leave', () => {
    const spent = podOf('x', { ready: false, phase: 'Failed' });
    assert.equal(judged('DaemonSet', 'i', done, [...both, spent]).done, true);
  });
});

describe('a ReplicaSet', () => {
  const status = { replicas: 2, readyReplicas: 2, availableReplicas: 2 };

  test('is done when only pods of its template are left and as many as wanted serve', () => {
    const pods = [podOf('a', { install: 'i' }), podOf('b', { install: 'i' })];
    assert.equal(judged('ReplicaSet', 'i', status, pods).done, true);
    assert.equal(judged('ReplicaSet', 'i', { ...status, readyReplicas: 1 }, pods).done, false);
    const mixed = [podOf('a', { install: 'i' }), podOf('b', {})];
    const view = judged('ReplicaSet', 'i', status, mixed);
    assert.deepEqual([view.done, view.updatedReady, view.replace?.metadata.name], [false, 1, 'b']);
  });

  test('that is restored loses only its pods with the agent', () => {
    const view = judged('ReplicaSet', undefined, status, [podOf('a', {}), podOf('b', { install: 'i' })]);
    assert.equal(view.replace?.metadata.name, 'b');
    assert.equal(judged('ReplicaSet', undefined, status, [podOf('a', {}), podOf('b', {})]).done, true);
  });

  test('has none of the pods deleted that others own', () => {
    const others = podOf('b', { owner: 'somebody' });
    const view = judged('ReplicaSet', 'i', status, [podOf('a', { install: 'i' }), others]);
    assert.equal(view.replace, undefined);
  });
});

test('a StatefulSet with OnDelete is judged by its pods, whose revisions the controller leaves apart for ever', () => {
  const status = { replicas: 2, readyReplicas: 2, updatedReplicas: 2, currentRevision: 'r1', updateRevision: 'r3' };
  const pods = [podOf('web-0', { install: 'i' }), podOf('web-1', { install: 'i' })];
  assert.equal(judged('StatefulSet', 'i', status, pods, onDelete).done, true);
  const view = judged('StatefulSet', undefined, status, pods, onDelete);
  assert.deepEqual([view.done, view.replace?.metadata.name, view.stuck], [false, 'web-1', []]);
});

describe('an Argo Rollout', () => {
  const healthy = { observedGeneration: '2', currentPodHash: 'new', stableRS: 'new', phase: 'Healthy' };
  const pods = ['a', 'b'].map((name) => podOf(name, { install: 'i', owner: 'set', hash: 'new' }));
  const canary = (workload: Workload): void => {
    workload.spec.strategy = { canary: { steps: [{ setWeight: 50 }, { pause: {} }, { setWeight: 100 }] } };
  };

  test('is done when its controller calls it healthy and the wanted pods are of the present template', () => {
    assert.equal(judged('Rollout', 'i', healthy, pods).done, true);
    for (const phase of ['Progressing', 'Paused', 'Degraded'])
      assert.equal(judged('Rollout', 'i', { ...healthy, phase }, pods).done, false, phase);
    assert.equal(judged('Rollout', 'i', { ...healthy, observedGeneration: '1' }, pods).done, false);
    assert.equal(judged('Rollout', 'i', healthy, pods.slice(1)).done, false);
    const stale = ['a', 'b'].map((name) => podOf(name, { owner: 'set', hash: 'new' }));
    assert.equal(judged('Rollout', 'i', healthy, stale).done, false);
  });

  test('of an Argo without phases is done by its counts and hashes', () => {
    const { phase: _phase, ...counts } = { ...healthy, updatedReplicas: 2, availableReplicas: 2 };
    assert.equal(judged('Rollout', 'i', counts, pods).done, true);
    assert.equal(judged('Rollout', 'i', { ...counts, stableRS: 'old' }, pods).done, false);
  });

  test('may keep the pods of the template before for a while', () => {
    const before = podOf('c', { owner: 'set', hash: 'old' });
    assert.equal(judged('Rollout', 'i', healthy, [...pods, before]).done, true);
  });

  test('that is paused by a canary step says which one and how to go on', () => {
    const pauseConditions = [{ reason: 'CanaryPauseStep' }];
    const paused = { ...healthy, stableRS: 'old', phase: 'Paused', currentStepIndex: 1, pauseConditions };
    const view = judged('Rollout', 'i', paused, pods, canary);
    assert.equal(
      view.waitingFor,
      'the rollout, which is paused by its canary step 2 of 3: kubectl argo rollouts promote web -n shop',
    );
    assert.equal(view.failure, undefined);
    const blueGreen = { ...paused, pauseConditions: [{ reason: 'BlueGreenPause' }] };
    assert.match(judged('Rollout', 'i', blueGreen, pods).waitingFor ?? '', /blue-green promotion: .* promote web/);
  });

  test('that its controller has aborted has failed, in its words; a restore goes on', () => {
    const conditions = [{ type: 'Progressing', status: 'False', reason: 'RolloutAborted', message: 'metric failed' }];
    const aborted = { ...healthy, phase: 'Degraded', conditions };
    assert.match(judged('Rollout', 'i', aborted, []).failure?.problem.message ?? '', /metric failed/);
    assert.equal(judged('Rollout', 'i', aborted, [], () => {}, true).failure, undefined);
  });
});

test('a generation that is text is compared as a number, and one that is none counts as seen', () => {
  const seen = (observedGeneration: string | number, generation: number): boolean => {
    const workload = rawWorkload('Rollout', []);
    workload.metadata.generation = generation;
    workload.status = { observedGeneration };
    return isObserved(workload);
  };
  assert.deepEqual([seen('10', 9), seen('9', 10), seen(9, 9), seen('5d6f7c', 10)], [true, false, true, true]);
});
