import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { originalService } from '../../../cli/kube/annotation.ts';
import { AGENT_CONTAINER, INTERCEPT_ANNOTATION } from '../../../cli/kube/names.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService, restoredService } from '../../../cli/kube/plan-service.ts';
import { container } from './planned-workload.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const named = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);
const numeric = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 8080 }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);

describe('a numeric target port', () => {
  const plan = planInstall(deployment, installRequest(deployment, numeric), AT);
  const retargeted = plan.services[0]?.after ?? numeric;

  test('changes nothing of the app but its end, and points the Service to the agent', () => {
    const preStop = { httpGet: { path: '/drain', port: 9902, scheme: 'HTTP' } };
    assert.deepEqual(container(plan.workload.after, 'app'), {
      ...container(deployment, 'app'),
      lifecycle: { preStop },
    });
    assert.equal(retargeted.spec.ports?.[0]?.targetPort, 'ki-9901');
    assert.ok(retargeted.metadata.annotations?.[INTERCEPT_ANNOTATION]);
  });

  test('comes back, by the annotation of the Service or by the record of the workload alone', () => {
    assert.deepEqual(restoredService(retargeted, plan.record), numeric);
    assert.deepEqual(originalService(retargeted), numeric);
    const { annotations: _, ...metadata } = retargeted.metadata;
    assert.deepEqual(restoredService({ ...retargeted, metadata }, plan.record), numeric);
  });

  test('is planned the same on a Service that is retargeted already', () => {
    assert.deepEqual(planService(retargeted, deployment as never, plan.record)?.spec, retargeted.spec);
  });

  test('that somebody has changed is refused before retargeting and kept when restoring', () => {
    const changed = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 7777 }]);
    assert.throws(() => planService(changed, { kind: 'Deployment', name: 'web' }, plan.record), {
      code: 'CLUSTER_CONFLICT',
    });
    const theirs = structuredClone(retargeted);
    const [port] = theirs.spec.ports ?? [];
    assert.ok(port);
    port.targetPort = 7777;
    assert.deepEqual(restoredService(theirs, plan.record), changed);
  });
});

test('one install covers all ports of all Services, TCP and UDP, on ports the pod does not use', () => {
  const service = rawService([
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
    { name: 'same', port: 81, protocol: 'TCP', targetPort: 'http' },
    { name: 'admin', port: 82, protocol: 'TCP', targetPort: 9901 },
    { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
  ]);
  const ports = [...(rawContainer().ports ?? []), { containerPort: 9900, protocol: 'TCP' }];
  const workload = rawWorkload('Deployment', [rawContainer({ ports })]);
  const internal = rawService([{ name: 'web', port: 8080, protocol: 'TCP', targetPort: 'http' }]);
  internal.metadata.name = 'internal';
  const request = installRequest(workload, service, { services: [service, internal] });
  const { record, services } = planInstall(workload, request, AT);
  assert.deepEqual(
    services.map(({ before, passedPorts }) => [before.metadata.name, passedPorts]),
    [['web', [82, 53]]],
  );
  assert.equal(record.tunnelPort, 9902);
  assert.deepEqual(record.routes, [
    {
      port: 9903,
      appPort: 8080,
      protocol: 'tcp',
      servicePorts: [
        { service: 'web', port: 80 },
        { service: 'web', port: 81 },
        { service: 'internal', port: 8080 },
      ],
      targetName: 'http',
    },
    { port: 9904, appPort: 9901, protocol: 'tcp', servicePorts: [{ service: 'web', port: 82 }] },
    { port: 9905, appPort: 53, protocol: 'udp', servicePorts: [{ service: 'web', port: 53 }] },
  ]);
});

test('the agent has the mounts of the app, read-only, below a folder of its own, and restricted rights', () => {
  const volumeMounts = [{ name: 'data', mountPath: '/var/data', mountPropagation: 'HostToContainer', subPath: 'x' }];
  const securityContext = { runAsUser: 1000, privileged: true };
  const workload = rawWorkload('Deployment', [rawContainer({ volumeMounts, securityContext })]);
  const agent = container(planInstall(workload, installRequest(workload, named), AT).workload.after, AGENT_CONTAINER);
  assert.deepEqual(agent.volumeMounts?.at(-1), {
    name: 'data',
    mountPath: '/kube-intercept/volumes/var/data',
    readOnly: true,
    subPath: 'x',
  });
  assert.deepEqual(agent.securityContext, {
    runAsNonRoot: true,
    runAsUser: 1000,
    privileged: false,
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  });
});

describe('surge settings', () => {
  const planned = (replicas: number, maxSurge: number | string, maxUnavailable: number | string) => {
    const workload = rawWorkload('Deployment', [rawContainer()], {
      replicas,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
    });
    return planInstall(workload, installRequest(workload, named), AT).workload.after.spec.strategy?.rollingUpdate;
  };
  test.each([
    [2, '25%', '25%', '25%', '25%'],
    [4, '25%', '25%', '25%', 0],
    [2, 0, 1, 1, 0],
    [2, '0%', '0%', 1, 0],
    [3, 1, 0, 1, 0],
  ])(
    'of %s replicas, surge %s, unavailable %s, become %s and %s',
    (replicas, surge, unavailable, toSurge, toUnavailable) => {
      assert.deepEqual(planned(replicas, surge, unavailable), { maxSurge: toSurge, maxUnavailable: toUnavailable });
    },
  );

  test('that cannot avoid a gap are warned about: Recreate, and a StatefulSet of one', () => {
    const recreate = rawWorkload('Deployment', [rawContainer()], { strategy: { type: 'Recreate' } });
    assert.match(planInstall(recreate, installRequest(recreate, named), AT).warnings[0] ?? '', /Recreate/);
    const single = rawWorkload('StatefulSet', [rawContainer()], { replicas: 1 });
    assert.match(planInstall(single, installRequest(single, named), AT).warnings[0] ?? '', /one replica/);
  });
});
