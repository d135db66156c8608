import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { editDistance, nearNames } from '../../../cli/kube/near-names.ts';
import type { Pod, Service, Workload } from '../../../cli/kube/objects.ts';
import { chooseService, parseTarget, requireInterceptable } from '../../../cli/kube/target.ts';
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
  ])('%s is understood', (text, kind) => {
    assert.deepEqual(parseTarget(text), { kind, name: 'web' });
  });

  test.each(['', '/', 'svc/', '/web', 'pod/web', 'svc/web/80', 'Web', 'web_1', '-web', 'toString/web', 'web '])(
    '"%s" is refused',
    (text) => {
      assert.throws(() => parseTarget(text), { code: 'USAGE_BAD_TARGET' });
    },
  );
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
      hint: /--service a/,
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
    over: { kind?: 'Deployment' | 'StatefulSet'; service?: Service | undefined; pods?: Pod[] } = {},
  ): void => {
    const kind = over.kind ?? 'Deployment';
    const workload = rawWorkload(kind, [rawContainer()]);
    change(workload);
    const service = 'service' in over ? over.service : rawService([{ port: 80 }]);
    const target = { namespace: 'shop', kind, workload, service, pods: over.pods ?? [rawPod()] };
    assert.throws(
      () => requireInterceptable(target),
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
  test('a StatefulSet that is not rolled out by itself', () =>
    refusal((w) => Object.assign(w.spec, { updateStrategy: { type: 'OnDelete' } }), 'TARGET_UNSUPPORTED', /OnDelete/, {
      kind: 'StatefulSet',
    }));
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
