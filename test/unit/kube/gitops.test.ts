import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { FIELD_MANAGER, type KubeObject } from '../../../cli/kube/client.ts';
import { afterRevertHint, gitOpsOwner, gitOpsWarnings } from '../../../cli/kube/gitops.ts';

const object = (metadata: Partial<KubeObject['metadata']>, kind = 'Deployment'): KubeObject => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'web', namespace: 'shop', ...metadata },
});
const written = (manager: string) => [{ manager, operation: 'Update', fieldsType: 'FieldsV1', fieldsV1: {} }];

describe('who keeps an object', () => {
  const CASES: readonly [string, Partial<KubeObject['metadata']>, string | undefined][] = [
    ['nobody', { labels: { app: 'web' } }, undefined],
    [
      'Argo CD, by its annotation',
      { annotations: { 'argocd.argoproj.io/tracking-id': 'apps:apps/Deployment:shop/web' } },
      'Argo CD application "apps"',
    ],
    ['Argo CD, by its label', { labels: { 'argocd.argoproj.io/instance': 'apps' } }, 'Argo CD application "apps"'],
    [
      'Argo CD, by a label of charts and the manager',
      { labels: { 'app.kubernetes.io/instance': 'apps' }, managedFields: written('argocd-controller') },
      'Argo CD application "apps"',
    ],
    [
      'Flux, by a Kustomization',
      {
        labels: { 'kustomize.toolkit.fluxcd.io/name': 'apps', 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' },
      },
      'Flux kustomization "apps"',
    ],
    [
      'Flux, by a HelmRelease',
      { labels: { 'helm.toolkit.fluxcd.io/name': 'web', 'app.kubernetes.io/managed-by': 'Helm' } },
      'Flux helmrelease "web"',
    ],
    ['Helm, by its annotation', { annotations: { 'meta.helm.sh/release-name': 'web' } }, 'Helm release "web"'],
    [
      'Helm, by its label',
      { labels: { 'app.kubernetes.io/managed-by': 'Helm', 'app.kubernetes.io/instance': 'web' } },
      'Helm release',
    ],
    ['Helm, by the manager', { managedFields: written('helm') }, 'Helm release'],
  ];
  for (const [name, metadata, owner] of CASES)
    test(`is ${name}`, () => {
      const found = gitOpsOwner(object(metadata));
      assert.equal(found === undefined ? undefined : `${found.tool} ${found.by}`, owner);
    });
});

test('one warning tells of all objects of an Application, and has our field manager to paste', () => {
  const annotations = { 'argocd.argoproj.io/tracking-id': 'apps:x' };
  const [warning, ...others] = gitOpsWarnings([object({ annotations }), object({ annotations }, 'Service')]);
  assert.deepEqual(others, []);
  assert.match(warning ?? '', /^deployment\/web and service\/web belong to Argo CD \(application "apps"\)/);
  assert.ok(warning?.includes(`managedFieldsManagers: [${FIELD_MANAGER}]`));
  assert.ok(warning?.includes('RespectIgnoreDifferences=true'));
});

test('Flux is told of with a command for the one object, and not where it is off already', () => {
  const labels = { 'kustomize.toolkit.fluxcd.io/name': 'apps' };
  const [warning] = gitOpsWarnings([object({ labels })]);
  assert.match(
    warning ?? '',
    /kubectl annotate deployment\/web -n shop kustomize\.toolkit\.fluxcd\.io\/reconcile=disabled/,
  );
  const annotations = { 'kustomize.toolkit.fluxcd.io/reconcile': 'disabled' };
  assert.deepEqual(gitOpsWarnings([object({ labels, annotations })]), []);
});

test('Flux is told of with one command for all objects of a Kustomization that are changed, before and after', () => {
  const labels = { 'kustomize.toolkit.fluxcd.io/name': 'apps' };
  const off = { labels, annotations: { 'kustomize.toolkit.fluxcd.io/reconcile': 'disabled' } };
  const objects = [object({ labels }), object({ labels }, 'Service')] as const;
  const both =
    /kubectl annotate deployment\/web service\/web -n shop kustomize\.toolkit\.fluxcd\.io\/reconcile=disabled \(/;
  const [warning, ...others] = gitOpsWarnings(objects);
  assert.deepEqual(others, []);
  assert.match(warning ?? '', both);
  assert.match(afterRevertHint(objects[0], 'kustomize-controller', objects), both);
  const [half] = gitOpsWarnings([object(off), objects[1]]);
  assert.match(half ?? '', /^service\/web belongs to .*kubectl annotate service\/web -n shop/);
  const other = object({ labels: { 'kustomize.toolkit.fluxcd.io/name': 'db' }, name: 'db' });
  assert.match(
    afterRevertHint(objects[0], undefined, [object(off, 'Service'), other]),
    /annotate deployment\/web -n shop/,
  );
});

test('Helm, which writes only when it is told to, is no reason to warn', () => {
  assert.deepEqual(gitOpsWarnings([object({ annotations: { 'meta.helm.sh/release-name': 'web' } })]), []);
});

test('a revert by Argo CD is explained also where the object does not say whose it is', () => {
  assert.match(afterRevertHint(object({}), 'argocd-controller'), /managedFieldsManagers/);
  assert.equal(afterRevertHint(object({}), 'kubectl-edit'), 'agree with whoever did it, and intercept again');
});
