import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Capture } from '../../../cli/kube/interceptable.ts';
import { editDistance, nearNames } from '../../../cli/kube/near-names.ts';
import type { Pod, Service, Workload, WorkloadKind } from '../../../cli/kube/objects.ts';
import { ownerOf } from '../../../cli/kube/owners.ts';
import { plainSelector, servicesOf } from '../../../cli/kube/services-of.ts';
import { chooseService, parseTarget, type ResolvedTarget, requireInterceptable } from '../../../cli/kube/target.ts';
import { WORKLOAD_KINDS } from '../../../cli/kube/workload-kinds.ts';
import { rawContainer, rawPod, rawService, rawWorkload } from './raw-objects.ts';

describe('a target', () => {
  test.each([
    ['web', 'any'],
    ['svc/web', 'service'],
    ['service/web', 'service'],
    ['deploy/web', 'Deployment'],
    ['Deployment/web', 'Deployment'],
    ['sts/web', 'StatefulSet'],
    ['statefulset/web', 'StatefulSet'],
    ['ds/web', 'DaemonSet'],
    ['daemonsets/web', 'DaemonSet'],
    ['rs/web', 'ReplicaSet'],
    ['ReplicaSet/web', 'ReplicaSet'],
    ['rollout/web', 'Rollout'],
    ['rollouts/web', 'Rollout'],
    ['pod/web', 'pod'],
  ])('%s is understood', (text, kind) => {
    assert.deepEqual(parseTarget(text), { kind, name: 'web' });
  });

  test.each([
    ['job/report', /job\/report .* Job/],
    ['jobs/report', /job\/report .* Job/],
    ['cronjob/nightly', /cronjob\/nightly .* CronJob makes Jobs/],
    ['cj/nightly', /cronjob\/nightly .* CronJob makes Jobs/],
  ])('%s is refused with the reason and the way out', (text, message) => {
    assert.throws(() => parseTarget(text), { code: 'TARGET_UNSUPPORTED', message, hint: /intercept run -- / });
  });

  test.each([
    '',
    '/',
    'svc/',
    '/web',
    'node/web',
    'job/',
    'constructor/web',
    'svc/web/80',
    'Web',
    'web_1',
    '-web',
    'toString/web',
    'web ',
  ])('"%s" is refused', (text) => {
    assert.throws(() => parseTarget(text), { code: 'USAGE_BAD_TARGET' });
  });
});

describe('of the Services of a workload', () => {
  const named = (name: string, over: Partial<Service['spec']> = {}): Service => {
    const service = rawService([], over);
    return { ...service, metadata: { ...service.metadata, name } };
  };

  test('the only one is taken, or the only one with an address', () => {
    assert.equal(chooseService('sts/web', [], undefined), undefined);
    assert.equal(chooseService('sts/web', [named('a')], undefined)?.metadata.name, 'a');
    const both = [named('a', { clusterIP: 'None' }), named('b')];
    assert.equal(chooseService('sts/web', both, undefined)?.metadata.name, 'b');
  });

  test('one of several must be named, and be one of them', () => {
    const both = [named('a'), named('b')];
    assert.throws(() => chooseService('deploy/web', both, undefined), {
      code: 'USAGE_BAD_OPTION',
      message: /a, b/,
      hint: /--service a \(repeated for the callers of several\)/,
    });
    assert.equal(chooseService('deploy/web', both, 'b')?.metadata.name, 'b');
    assert.throws(() => chooseService('deploy/web', both, 'c'), { code: 'USAGE_BAD_OPTION', hint: /a, b/ });
  });
});

describe('what cannot be intercepted is refused', () => {
  const refusal = (
    change: (workload: Workload) => void,
    code: string,
    message: RegExp,
    over: { kind?: WorkloadKind; service?: Service | undefined; pods?: Pod[]; capture?: Capture } = {},
  ): void => {
    const kind = over.kind ?? 'Deployment';
    const workload = rawWorkload(kind, [rawContainer()]);
    change(workload);
    const service = 'service' in over ? over.service : rawService([{ port: 80 }]);
    const services = service === undefined ? [] : [service];
    const target = { namespace: 'shop', kind, workload, service, services, pods: over.pods ?? [rawPod()] };
    assert.throws(
      () => (over.capture === undefined ? requireInterceptable(target) : requireInterceptable(target, over.capture)),
      (error: { code: string; message: string; hint: string | undefined }) => {
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.ok(error.hint);
        return true;
      },
    );
  };
  const nothing = (): void => {};

  test('a workload without a Service', () =>
    refusal(nothing, 'TARGET_UNSUPPORTED', /no Service/, { service: undefined }));
  test('a headless Service', () =>
    refusal(nothing, 'TARGET_UNSUPPORTED', /headless/, { service: rawService([], { clusterIP: 'None' }) }));
  test('pods on the node’s network', () =>
    refusal((w) => Object.assign(w.spec.template.spec, { hostNetwork: true }), 'TARGET_UNSUPPORTED', /hostNetwork/));
  test('pods on Windows nodes', () =>
    refusal(
      (w) => Object.assign(w.spec.template.spec, { nodeSelector: { 'kubernetes.io/os': 'windows' } }),
      'TARGET_UNSUPPORTED',
      /Windows/,
    ));
  test('a paused Deployment', () =>
    refusal((w) => Object.assign(w.spec, { paused: true }), 'TARGET_NOT_READY', /paused/));
  test('a StatefulSet or DaemonSet with OnDelete that is between two revisions', () => {
    const updateStrategy = { type: 'OnDelete' };
    const halfWay = (status: Workload['status']) => (workload: Workload) => {
      workload.spec.updateStrategy = updateStrategy;
      if (status !== undefined) workload.status = status;
    };
    const message = /two revisions, held apart by OnDelete/;
    refusal(halfWay({ replicas: 2, updatedReplicas: 1 }), 'TARGET_NOT_READY', message, { kind: 'StatefulSet' });
    refusal(halfWay({ desiredNumberScheduled: 2, updatedNumberScheduled: 1 }), 'TARGET_NOT_READY', message, {
      kind: 'DaemonSet',
    });
  });
  test('a DaemonSet that no node is to run', () =>
    refusal(
      (w) => Object.assign(w, { status: { desiredNumberScheduled: 0 } }),
      'TARGET_NOT_READY',
      /no node is to run one/,
      { kind: 'DaemonSet' },
    ));
  test('a Rollout in the middle of a canary, with the step and how to go on', () =>
    refusal(
      (w) => {
        w.spec.strategy = { canary: { steps: [{ setWeight: 20 }, { pause: {} }, { setWeight: 60 }] } };
        const pauseConditions = [{ reason: 'CanaryPauseStep' }];
        w.status = { currentPodHash: 'b', stableRS: 'a', currentStepIndex: 1, pauseConditions };
      },
      'TARGET_NOT_READY',
      /rollout\/web is paused by its canary step 2 of 3: kubectl argo rollouts promote web -n shop/,
      { kind: 'Rollout' },
    ));
  test('a StatefulSet with two revisions held apart', () =>
    refusal(
      (w) => {
        w.spec.updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 1 } };
        w.status = { currentRevision: 'a', updateRevision: 'b' };
      },
      'TARGET_NOT_READY',
      /two revisions/,
      { kind: 'StatefulSet' },
    ));
  test('a workload scaled to 0', () =>
    refusal((w) => Object.assign(w.spec, { replicas: 0 }), 'TARGET_NOT_READY', /scaled to 0/));
  test('a workload whose pods are not ready, with the pods’ own reason', () => {
    const state = { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "shop:2"' } };
    const status = { phase: 'Pending', conditions: [], containerStatuses: [{ name: 'app', ready: false, state }] };
    refusal(nothing, 'TARGET_NOT_READY', /web-1: container app: ImagePullBackOff.*shop:2/, {
      pods: [rawPod({ status })],
    });
    refusal(nothing, 'TARGET_NOT_READY', /no pod/, { pods: [] });
  });
});

describe('what --replace and --capture redirect make possible', () => {
  const target = (service: Service | undefined, kind: WorkloadKind = 'Deployment'): ResolvedTarget => ({
    namespace: 'shop',
    kind,
    workload: rawWorkload(kind, [rawContainer()]),
    service,
    services: service === undefined ? [] : [service],
    pods: [rawPod()],
  });
  const headless = rawService([{ port: 80 }], { clusterIP: 'None' });

  test('a headless Service with either of them', () => {
    requireInterceptable(target(headless), { replace: true, redirect: false });
    requireInterceptable(target(headless), { replace: false, redirect: true });
    const neither = (): unknown => requireInterceptable(target(headless), { replace: false, redirect: false });
    assert.throws(neither, { code: 'TARGET_UNSUPPORTED', hint: /--replace .*--capture redirect/ });
  });

  test('a workload without any Service with either of them: a worker, or one whose callers know its pods', () => {
    requireInterceptable(target(undefined), { replace: true, redirect: false });
    requireInterceptable(target(undefined), { replace: false, redirect: true });
    const neither = (): unknown => requireInterceptable(target(undefined), { replace: false, redirect: false });
    assert.throws(neither, { code: 'TARGET_UNSUPPORTED', hint: /--replace/ });
  });

  test('every kind of workload is fine with a Service that has an address', () => {
    for (const kind of WORKLOAD_KINDS) requireInterceptable(target(rawService([{ port: 80 }]), kind));
  });
});

describe('the Services of a workload', () => {
  const labels = { app: 'web', tier: 'front' };

  test('are those whose selectors its labels fit, headless ones included', () => {
    const services = [
      rawService([]),
      rawService([], { clusterIP: 'None', selector: { tier: 'front' } }),
      rawService([], { selector: { app: 'api' } }),
      rawService([], { selector: {} }),
      rawService([], { type: 'ExternalName', externalName: 'x.example' }),
    ];
    assert.deepEqual(servicesOf(services, labels), services.slice(0, 2));
  });

  test('are known for its own where Argo Rollouts has narrowed their selectors to one ReplicaSet', () => {
    const active = rawService([], { selector: { app: 'web', 'rollouts-pod-template-hash': '5d6f' } });
    assert.deepEqual(servicesOf([active], labels), [active]);
    assert.deepEqual(plainSelector(active.spec.selector), { app: 'web' });
  });

  test('of a Rollout: the one it names is meant', () => {
    const named = (name: string): Service => ({ ...rawService([]), metadata: { name } });
    const both = [named('preview'), named('active')];
    assert.equal(chooseService('rollout/web', both, undefined, 'active')?.metadata.name, 'active');
    assert.equal(chooseService('rollout/web', both, 'preview', 'active')?.metadata.name, 'preview');
  });

  test('may be named several at once, and each must be one of them', () => {
    const named = (name: string): Service => ({ ...rawService([]), metadata: { name } });
    const both = [named('a'), named('b')];
    assert.equal(chooseService('deploy/web', both, ['b', 'a'])?.metadata.name, 'b');
    assert.throws(() => chooseService('deploy/web', both, ['a', 'c']), { code: 'USAGE_BAD_OPTION', message: /"c"/ });
  });
});

test('an owner of a known kind in an unknown API group is not taken for it', () => {
  const owned = (apiVersion: string, kind: string): Pod =>
    rawPod({
      metadata: { name: 'p', ownerReferences: [{ apiVersion, kind, name: 'web', uid: 'u', controller: true }] },
    });
  assert.deepEqual(ownerOf(owned('apps/v1', 'DaemonSet')), { kind: 'DaemonSet', name: 'web' });
  assert.deepEqual(ownerOf(owned('argoproj.io/v1alpha1', 'Rollout')), { kind: 'Rollout', name: 'web' });
  assert.deepEqual(ownerOf(owned('apps.kruise.io/v1beta1', 'StatefulSet')), {
    kind: 'StatefulSet.apps.kruise.io',
    name: 'web',
  });
  assert.equal(ownerOf(rawPod()), undefined);
});

test('names that are near are suggested, nearest first', () => {
  const names = ['web', 'webs', 'payments', 'api', 'web-admin'];
  assert.deepEqual(nearNames('wxy', names), []);
  assert.deepEqual(nearNames('we', ['web', 'x']), ['web']);
  assert.deepEqual(nearNames('paymnets', names), ['payments']);
  assert.deepEqual(nearNames('web-', names), ['web', 'web-admin', 'webs']);
});

test('two neighbouring letters in the wrong order are one mistake', () => {
  assert.deepEqual(nearNames('nmu', ['num', 'nix']), ['num']);
  assert.deepEqual(nearNames('wbe', ['web', 'webs']), ['web']);
  assert.deepEqual(
    [
      ['ab', 'ba'],
      ['abcd', 'badc'],
      ['ca', 'abc'],
      ['', 'ab'],
      ['same', 'same'],
    ].map(([a = '', b = '']) => editDistance(a, b)),
    [1, 2, 3, 2, 0],
  );
});
