import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { originalWorkload, readInstall, readRetarget } from '../../../cli/kube/annotation.ts';
import { planDiff } from '../../../cli/kube/diff.ts';
import { INTERCEPT_ANNOTATION } from '../../../cli/kube/names.ts';
import type { Container, Service, Workload } from '../../../cli/kube/objects.ts';
import type { InstallPlan } from '../../../cli/kube/plan.ts';
import { HOLD_SECONDS, MAX_HELD_REPLICAS, released } from '../../../cli/kube/plan-hold.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService, restoredService } from '../../../cli/kube/plan-service.ts';
import { isHeldBy, settingsRestored, templateRestored } from '../../../cli/kube/restore-template.ts';
import { HoldRefused, holdRefusal } from '../../../cli/kube/rollout-hold.ts';
import type { RolloutView } from '../../../cli/kube/rollout-judge.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const named = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);
const both = rawService([
  { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
  { name: 'admin', port: 81, protocol: 'TCP', targetPort: 8081 },
]);
const ref = { kind: 'Deployment', name: 'web' } as const;

function held(workload: Workload, service: Service = named): InstallPlan {
  return planInstall(workload, installRequest(workload, service, { holdOldPods: true }), AT);
}

const deploymentOf = (over: Partial<Workload['spec']> = {}): Workload =>
  rawWorkload('Deployment', [rawContainer()], over);

/** Names of all ports of all containers. */
const portNames = ({ spec }: Workload): (string | undefined)[] =>
  spec.template.spec.containers.flatMap(({ ports = [] }: Container) => ports.map(({ name }) => name));

describe('old pods that are held', () => {
  const original = deploymentOf({ replicas: 4 });
  const plan = held(original);
  const { after } = plan.workload;

  test('stay beside all new ones until they are let go, which changes nothing of the pod template', () => {
    assert.deepEqual(after.spec.strategy?.rollingUpdate, { maxSurge: '100%', maxUnavailable: 0 });
    assert.equal(after.spec.minReadySeconds, HOLD_SECONDS);
    const let_ = released(after, plan.record.installId);
    assert.deepEqual(let_.spec.strategy?.rollingUpdate, { maxSurge: '25%', maxUnavailable: 0 });
    assert.equal(let_.spec.minReadySeconds, undefined);
    assert.deepEqual(let_.spec.template, after.spec.template);
    assert.deepEqual(originalWorkload(let_), original);
    assert.deepEqual(released(let_, plan.record.installId), let_);
  });

  test('are taken back to the original, at whatever step, and are not held while they come back', () => {
    assert.deepEqual(originalWorkload(after), original);
    const back = templateRestored({ ...ref, namespace: 'shop' }, after);
    assert.deepEqual(back.spec.template, original.spec.template);
    assert.equal(back.spec.minReadySeconds, undefined);
    assert.equal(back.spec.strategy?.rollingUpdate?.maxSurge, '25%');
    assert.deepEqual(originalWorkload(back), original);
  });

  test('are let go only by who knows the install', () => {
    assert.equal(released(after, 'another'), after);
    assert.equal(released(original, plan.record.installId), original);
  });

  test('are let go where somebody has put the template and the annotations back, and nothing else', () => {
    const text = after.metadata.annotations?.[INTERCEPT_ANNOTATION] ?? '';
    const undone = {
      ...after,
      metadata: original.metadata,
      spec: { ...after.spec, template: original.spec.template },
    };
    assert.ok(isHeldBy(text, undone));
    assert.deepEqual(settingsRestored(undone, text), original);
    const since = { ...undone, spec: { ...undone.spec, minReadySeconds: 7 } };
    assert.equal(settingsRestored(since, text).spec.minReadySeconds, 7);
    assert.equal(isHeldBy(text, since), false);
    assert.equal(isHeldBy(text, original), false);
    assert.equal(isHeldBy(text, after), false); // the agent is there
    assert.equal(settingsRestored(after, text), after);
    assert.equal(settingsRestored(undone, 'of another version'), undone);
  });

  test('leave a Deployment its own deadlines where these are longer', () => {
    const slow = held(deploymentOf({ minReadySeconds: 400, progressDeadlineSeconds: 1000 })).workload.after;
    assert.deepEqual([slow.spec.minReadySeconds, slow.spec.progressDeadlineSeconds], [400, 1000]);
    const quick = deploymentOf({ progressDeadlineSeconds: 60 });
    const { spec } = held(quick).workload.after;
    assert.ok(Number(spec.progressDeadlineSeconds) > Number(spec.minReadySeconds)); // or the API server refuses it
    assert.deepEqual(originalWorkload(held(quick).workload.after), quick);
  });

  test('are told of by the dry run', () => {
    const text = planDiff(plan);
    assert.match(text, /until callers have left the old pods: sets spec.strategy.rollingUpdate.maxSurge to 100%/);
    assert.match(text, /points every Service of it to ki-9901/);
    assert.match(text, /^\+ {2}minReadySeconds: 300$/m);
  });

  test('are not asked for where they cannot be had', () => {
    const none = (workload: Workload, over: Parameters<typeof installRequest>[2] = {}): void => {
      const request = installRequest(workload, named, { holdOldPods: true, ...over });
      assert.equal(planInstall(workload, request, AT).record.hold, undefined);
    };
    none(deploymentOf({ strategy: { type: 'Recreate' } }));
    none(deploymentOf({ replicas: MAX_HELD_REPLICAS + 1 }));
    none(deploymentOf({ replicas: 0 }));
    none(deploymentOf(), { ports: [] });
    none(deploymentOf(), { mode: { kind: 'replace' } });
    none(deploymentOf(), { holdOldPods: false });
    none(rawWorkload('StatefulSet', [rawContainer()]));
  });

  test('are not held a second time by an extension', () => {
    const run = planInstall(original, installRequest(original, named, { ports: [] }), AT);
    const more = planInstall(run.workload.after, installRequest(original, named, { holdOldPods: true }), AT);
    assert.deepEqual([more.action, more.record.hold], ['extend', undefined]);
    assert.deepEqual(originalWorkload(more.workload.after), original);
  });
});

describe('a Service while old pods are held', () => {
  const { record, workload } = held(deploymentOf(), both);

  test('leads to ports that only pods with the agent have, named or numeric', () => {
    const switched = planService(both, ref, record, { asked: true });
    const targets = switched?.spec.ports?.map(({ targetPort }) => targetPort) ?? [];
    assert.deepEqual(targets, ['ki-9901', 'ki-9902']);
    for (const target of targets) {
      assert.ok(portNames(workload.after).includes(String(target)));
      assert.ok(!portNames(workload.before).includes(String(target)));
    }
    assert.deepEqual(switched && planService(switched, ref, record), switched); // as its annotation says
    assert.deepEqual(switched && readRetarget(switched)?.held, { asked: true });
  });

  test('has its names back when they are gone, and keeps the numeric ports with the agent', () => {
    const switched = planService(both, ref, record, { asked: true });
    const settled = switched && planService(switched, ref, record, 'released');
    assert.deepEqual(
      settled?.spec.ports?.map(({ targetPort }) => targetPort),
      ['http', 'ki-9902'],
    );
    assert.equal(settled && readRetarget(settled)?.held, undefined);
    assert.deepEqual(settled && restoredService(settled, record), both);
  });

  test('comes back by its annotation, or by the record of the workload alone', () => {
    const switched = planService(both, ref, record, { asked: false });
    assert.ok(switched);
    assert.deepEqual(restoredService(switched, undefined), both);
    const { annotations: _, ...metadata } = switched.metadata;
    assert.deepEqual(restoredService({ ...switched, metadata }, record), both);
  });

  test('is found to be held by who reads the annotation of the workload', () => {
    const install = readInstall(workload.after);
    assert.ok('record' in install && install.record.hold !== undefined && install.record.hold.length > 0);
  });
});

test('a hold is given up where there is no room for all pods, but not for one, which any rollout needs', () => {
  const problem = { severity: 'failed', reason: 'FailedCreate', message: 'exceeded quota', container: undefined };
  const view = {
    wanted: 2,
    failure: { problem: { ...problem, exitCode: undefined }, pod: undefined },
  } as unknown as RolloutView;
  assert.ok(holdRefusal(view, undefined) instanceof HoldRefused);
  assert.match(holdRefusal(view, undefined)?.reason ?? '', /exceeded quota/);
  assert.equal(holdRefusal({ ...view, wanted: 1 }, undefined), undefined);
  assert.equal(holdRefusal({ ...view, failure: undefined }, undefined), undefined);
});
