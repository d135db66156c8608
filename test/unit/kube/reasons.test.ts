import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { ContainerStatus, PodStatus } from '../../../cli/kube/objects.ts';
import { eventProblem, podProblem, problemCode, problemText, workloadProblem } from '../../../cli/kube/reasons.ts';
import { rawContainer, rawPod, rawWorkload } from './raw-objects.ts';

const AGENT = 'kube-intercept-agent';

function problemOf(...containerStatuses: ContainerStatus[]) {
  const conditions = [
    { type: 'PodScheduled', status: 'True' },
    { type: 'Ready', status: 'False', reason: 'ContainersNotReady', message: 'containers with unready status: [app]' },
  ];
  return podProblem(rawPod({ status: { phase: 'Pending', conditions, containerStatuses } }));
}

const waiting = (
  name: string,
  reason: string,
  message?: string,
  over: Partial<ContainerStatus> = {},
): ContainerStatus => ({
  name,
  ready: false,
  restartCount: 0,
  state: { waiting: { reason, ...(message === undefined ? {} : { message }) } },
  ...over,
});

describe('a pod', () => {
  test('that is ready or leaving has no problem', () => {
    assert.equal(podProblem(rawPod()), undefined);
    const metadata = { name: 'web-1', deletionTimestamp: '2026-01-01T00:00:00Z' };
    assert.equal(podProblem(rawPod({ metadata, status: { phase: 'Pending' } })), undefined);
  });

  test.each([
    ['ErrImagePull', 'rpc error: code = NotFound', 'failed'],
    ['ImagePullBackOff', 'Back-off pulling image "x"', 'failed'],
    ['InvalidImageName', 'couldn’t parse image', 'failed'],
    ['CreateContainerConfigError', 'secret "s" not found', 'failed'],
    ['CreateContainerError', 'context deadline exceeded', 'waiting'],
    ['CreateContainerError', 'name "x" is reserved for "y"', 'waiting'],
    ['ContainerCreating', undefined, 'waiting'],
    ['PodInitializing', undefined, 'waiting'],
    ['RunContainerError', 'oops', 'waiting'],
  ] as const)('with a container in %s (%s) is %s', (reason, message, severity) => {
    const found = problemOf(waiting('app', reason, message));
    assert.equal(found?.severity, severity);
    assert.equal(found?.reason, reason);
    assert.equal(found?.container, 'app');
  });

  test('in a crash loop tells the exit code of the last run', () => {
    const lastState = { terminated: { exitCode: 137, reason: 'OOMKilled' } };
    const found = problemOf(waiting('app', 'CrashLoopBackOff', 'back-off 10s', { restartCount: 2, lastState }));
    assert.equal(found?.severity, 'failed');
    assert.equal(found?.exitCode, 137);
    assert.match(found?.message ?? '', /exit code 137 \(OOMKilled\)/);
  });

  test('whose container ended once is waited for', () => {
    const found = problemOf({ name: 'app', ready: false, state: { terminated: { exitCode: 1, reason: 'Error' } } });
    assert.equal(found?.severity, 'waiting');
    assert.match(found?.message ?? '', /exit code 1/);
  });

  test('without room says so in the scheduler’s words', () => {
    const status: PodStatus = {
      phase: 'Pending',
      conditions: [
        { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes: Insufficient cpu.' },
      ],
    };
    assert.deepEqual(podProblem(rawPod({ status })), {
      severity: 'waiting',
      reason: 'Unschedulable',
      message: '0/1 nodes: Insufficient cpu.',
      container: undefined,
      exitCode: undefined,
    });
  });

  test('with several problems tells the definite one first, of two definite ones the agent’s', () => {
    const creating = waiting('app', 'ContainerCreating');
    assert.equal(problemOf(creating, waiting('side', 'ImagePullBackOff'))?.container, 'side');
    assert.equal(problemOf(waiting('app', 'ErrImagePull'), waiting(AGENT, 'ErrImagePull'))?.container, AGENT);
  });

  test('whose finished init container is done is not blamed on it', () => {
    const status: PodStatus = {
      phase: 'Pending',
      conditions: [],
      initContainerStatuses: [
        { name: 'init', ready: true, state: { terminated: { exitCode: 0, reason: 'Completed' } } },
      ],
      containerStatuses: [{ name: 'app', ready: false, state: { running: {} } }],
    };
    assert.equal(podProblem(rawPod({ status }))?.container, 'app');
  });
});

test('the agent’s image has a code and a hint of its own, the app’s has not', () => {
  const agent = problemOf(waiting(AGENT, 'ErrImagePull', 'not found'));
  const app = problemOf(waiting('app', 'ErrImagePull', 'not found'));
  assert.ok(agent && app);
  assert.equal(problemCode(agent).code, 'AGENT_IMAGE_UNAVAILABLE');
  assert.match(problemCode(agent).hint ?? '', /--agent-image/);
  assert.equal(problemCode(app).code, 'ROLLOUT_FAILED');
  assert.equal(problemText(app, 'web-1'), 'web-1: container app: ErrImagePull: not found');
});

test('a redirect that is refused, or fails, has the hint to replace instead', () => {
  const denied = eventProblem({
    type: 'Warning',
    reason: 'FailedCreate',
    message:
      'pods "web-1" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container "kube-intercept-redirect" must not include "NET_ADMIN" in securityContext.capabilities.add)',
  });
  const initContainerStatuses = [waiting('kube-intercept-redirect', 'CrashLoopBackOff')];
  const failed = podProblem(rawPod({ status: { phase: 'Pending', conditions: [], initContainerStatuses } }));
  for (const problem of [denied, failed]) {
    assert.equal(problem?.severity, 'failed');
    assert.match(problemCode(problem).hint ?? '', /NET_ADMIN.*--replace/);
  }
});

test('conditions of a Deployment count once its controller has seen the change', () => {
  const workload = rawWorkload('Deployment', [rawContainer()]);
  const condition = {
    type: 'ReplicaFailure',
    status: 'True',
    reason: 'FailedCreate',
    message: 'exceeded quota: tight',
  };
  workload.status = { observedGeneration: 1, conditions: [condition] };
  assert.match(workloadProblem(workload)?.message ?? '', /exceeded quota/);
  workload.metadata.generation = 2;
  assert.equal(workloadProblem(workload), undefined);
});

test.each([
  ['pods "web-0" is forbidden: exceeded quota: tight', 'failed'],
  ['admission webhook "x" denied the request: no', 'failed'],
  ['object is being deleted: pods "web-0" already exists', 'waiting'],
])('an event that says "%s" is %s', (message, severity) => {
  assert.equal(eventProblem({ type: 'Warning', reason: 'FailedCreate', message })?.severity, severity);
});

test('events that are no warnings, or of no matter, say nothing', () => {
  assert.equal(eventProblem({ type: 'Normal', reason: 'FailedCreate', message: 'denied' }), undefined);
  assert.equal(eventProblem({ type: 'Warning', reason: 'Whatever', message: 'x' }), undefined);
  assert.equal(eventProblem({ type: 'Warning', reason: 'FailedMount', message: 'x' })?.severity, 'waiting');
});

test('a Secret or ConfigMap that the kubelet has not read yet is no matter, one that is not there is', () => {
  const mount = (message: string): string | undefined =>
    eventProblem({ type: 'Warning', reason: 'FailedMount', message })?.message;
  for (const kind of ['secret', 'configmap'])
    assert.equal(
      mount(
        `MountVolume.SetUp failed for volume "v" : failed to sync ${kind} cache: timed out waiting for the condition`,
      ),
      undefined,
    );
  assert.match(mount('MountVolume.SetUp failed for volume "v" : secret "s" not found') ?? '', /not found/);
  assert.match(mount('Unable to attach or mount volumes: timed out waiting for the condition') ?? '', /Unable/);
});

test('an event is about the pod, or the container that it names', () => {
  const event = { type: 'Warning', reason: 'Unhealthy', message: 'Readiness probe failed' };
  assert.equal(eventProblem(event)?.container, undefined);
  for (const fieldPath of ['spec.containers{app}', 'spec.initContainers{app}'])
    assert.equal(eventProblem({ ...event, involvedObject: { fieldPath } })?.container, 'app');
});
