import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { originalWorkload } from '../../../cli/kube/annotation.ts';
import { withdrawn } from '../../../cli/kube/extension.ts';
import { INTERCEPT_ANNOTATION } from '../../../cli/kube/names.ts';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { configOf } from './planned-workload.ts';
import { installRequest, portsThrough, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';

/** With one more container; the annotation's record stays. */
function twoContainers(workload: Workload): Workload {
  const copy = structuredClone(workload);
  copy.spec.template.spec.containers.push(rawContainer({ name: 'other', ports: [] }));
  return copy;
}

const named = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);
const numeric = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 8080 }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);

describe('an agent that is there already', () => {
  const request = installRequest(deployment, named);
  const { after } = planInstall(deployment, request, AT).workload;

  test('is used as it is, with a warning where its code is another', () => {
    const plan = planInstall(after, request, AT);
    assert.equal(plan.action, 'reuse');
    assert.deepEqual(plan.warnings, []);
    const other = planInstall(after, { ...request, agent: { ...request.agent, code: 'newer();' } }, AT);
    assert.equal(other.action, 'reuse');
    assert.match(other.warnings[0] ?? '', /another version/);
  });

  test('serves who comes through another Service, other ports and a Service made since', () => {
    const later = rawService([{ port: 8080, protocol: 'TCP', targetPort: 'http' }]);
    later.metadata.name = 'later';
    const ports = portsThrough(later, after, 8080);
    const plan = planInstall(after, { ...request, services: [named, later], ports }, AT);
    assert.equal(plan.action, 'reuse');
  });

  test('with the environment of another container is refused, naming who installed it and the ways out', () => {
    assert.throws(() => planInstall(twoContainers(after), { ...request, container: 'other' }, AT), {
      code: 'TARGET_IN_USE',
      message: /container "app", not of "other" \(by ann@laptop at /,
      hint: 'take --container app, or end that intercept first: intercept leave deployment/web -n shop',
    });
  });

  test('of another mode is refused, but for a plain intercept and a run where ports are redirected', () => {
    const modes = ['sidecar', 'replace', 'redirect'] as const;
    const fits = (there: (typeof modes)[number], kind: (typeof modes)[number], run = false): boolean => {
      const asked = installRequest(deployment, named, { mode: { kind: there } });
      const brought = planInstall(deployment, asked, AT).workload.after;
      try {
        const wish = { ...asked, mode: { kind }, ...(run ? { ports: [] } : {}) };
        return planInstall(brought, wish, AT).action === 'reuse';
      } catch (refusal) {
        assert.equal((refusal as { code?: string }).code, 'TARGET_IN_USE');
        return false;
      }
    };
    for (const there of modes) {
      for (const kind of modes)
        assert.equal(
          fits(there, kind),
          there === kind || (there === 'redirect' && kind === 'sidecar'),
          `${there} ${kind}`,
        );
      assert.equal(fits(there, 'sidecar', true), true);
    }
  });

  test('of a run is extended for an intercept: same install and objects, planned anew from the original', () => {
    for (const service of [named, numeric]) {
      const run = { ...request, services: [], ports: [], container: 'app' };
      const brought = planInstall(deployment, run, AT);
      assert.deepEqual(brought.record.routes, []);
      assert.equal(planInstall(brought.workload.after, run, AT).action, 'reuse');
      const asked = installRequest(deployment, service, {
        installId: '11111111',
        createdBy: { user: 'bo', host: 'x' },
      });
      const plan = planInstall(brought.workload.after, asked, '2027-01-01T00:00:00Z');
      assert.equal(plan.action, 'extend');
      const { installId, configMap, secret, createdBy, createdAt, tunnelPort } = brought.record;
      const { record } = plan;
      assert.deepEqual(
        { ...record, routes: [], changes: [] },
        { ...record, installId, configMap, secret, createdBy, createdAt, tunnelPort, routes: [], changes: [] },
      );
      assert.deepEqual(originalWorkload(plan.workload.after), deployment);
      assert.deepEqual(configOf(plan.workload.after).routes, [{ port: 9902, appPort: 8080, protocol: 'tcp' }]);
      assert.equal(configOf(plan.workload.after).drainPort, 9901); // as it was
      assert.equal(planInstall(plan.workload.after, asked, AT).action, 'reuse');
      assert.equal(planInstall(plan.workload.after, run, AT).action, 'reuse');
    }
  });

  test('that was extended in vain is as it was, unless somebody has changed the template since', () => {
    const before = planInstall(deployment, { ...request, services: [], ports: [] }, AT).workload.after;
    const extension = planInstall(before, request, AT).workload;
    assert.equal(planInstall(before, request, AT).action, 'extend');
    const scaled = { ...extension.after, spec: { ...extension.after.spec, replicas: 7 } };
    assert.deepEqual(withdrawn(scaled, extension), { ...before, spec: { ...before.spec, replicas: 7 } });
    const theirs = structuredClone(extension.after);
    theirs.spec.template.metadata = { labels: { app: 'web', since: 'then' } };
    assert.deepEqual(withdrawn(theirs, extension), theirs);
    assert.deepEqual(withdrawn(deployment, extension), deployment);
  });

  test('that is extended keeps the ports it has', () => {
    const other = rawService([{ port: 81, protocol: 'TCP', targetPort: 9901 }]);
    other.metadata.name = 'other';
    const asked = installRequest(deployment, other, { services: [named, other] });
    const plan = planInstall(after, asked, AT);
    assert.equal(plan.action, 'extend');
    assert.deepEqual(
      plan.record.routes.map(({ port, appPort }) => [port, appPort]),
      [
        [9901, 8080],
        [9903, 9901],
      ],
    );
    assert.deepEqual(originalWorkload(plan.workload.after), deployment);
  });

  test('that has lost its annotation is refused rather than patched twice', () => {
    const { annotations: _, ...metadata } = after.metadata;
    assert.throws(() => planInstall({ ...after, metadata }, request, AT), { code: 'TARGET_UNSUPPORTED' });
  });

  test('whose annotation another version wrote is refused', () => {
    const metadata = { ...after.metadata, annotations: { [INTERCEPT_ANNOTATION]: '{"version":2}' } };
    assert.throws(() => planInstall({ ...after, metadata }, request, AT), { code: 'TARGET_IN_USE' });
  });
});
