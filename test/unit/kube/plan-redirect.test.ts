import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { REDIRECT_CONTAINER } from '../../../cli/kube/names.ts';
import type { Container } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { configOf, container } from './planned-workload.ts';
import { headless, installRequest, rawContainer, rawWorkload, withoutPorts } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const redirect = { mode: { kind: 'redirect' } } as const;

describe('ports that are redirected', () => {
  const probe = { tcpSocket: { port: 8080 }, periodSeconds: 5 };
  const elsewhere = { httpGet: { path: '/', port: 8080, host: '10.0.0.1' } };
  const app = rawContainer({
    livenessProbe: { ...probe },
    startupProbe: { exec: { command: ['true'] } },
    lifecycle: { preStop: { httpGet: { path: '/stop', port: 'http' } }, postStart: elsewhere },
  });
  const other = rawContainer({
    name: 'other',
    ports: [{ name: 'http', containerPort: 7000, protocol: 'TCP' }],
    livenessProbe: { ...probe },
    readinessProbe: { grpc: { port: 9000 } },
  });
  const workload = rawWorkload('StatefulSet', [app, other]);
  workload.spec.template.spec.initContainers = [rawContainer({ name: 'migrate', ports: [] })];
  const plan = planInstall(workload, installRequest(workload, headless, redirect), AT);
  const { after } = plan.workload;

  test('leave the containers’ ports and the Service alone', () => {
    assert.deepEqual(container(after, 'app').ports, app.ports);
    assert.deepEqual(plan.services, []);
    assert.deepEqual(configOf(after).routes, [{ port: 9901, appPort: 8080, protocol: 'tcp' }]);
  });

  test('are redirected by an init container that may do only that, before the others', () => {
    assert.equal(after.spec.template.spec.initContainers?.[0]?.name, REDIRECT_CONTAINER);
    const { command, securityContext } = container(after, REDIRECT_CONTAINER) as { command?: string[] } & Container;
    assert.deepEqual(command?.slice(3), ['tcp:8080:9901', 'tcp:9903:8080']);
    assert.deepEqual(securityContext, {
      runAsNonRoot: false,
      runAsUser: 0,
      runAsGroup: 0,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    });
  });

  test('do not take the kubelet’s probes and hooks: those go to a spare port, which leads to the app', () => {
    const changed = container(after, 'app');
    assert.equal(changed.livenessProbe?.tcpSocket?.port, 9903);
    assert.equal(changed.readinessProbe?.httpGet?.port, 9903);
    assert.equal(changed.lifecycle?.preStop?.httpGet?.port, 9903);
    assert.deepEqual(changed.lifecycle?.postStart, elsewhere);
    assert.deepEqual(changed.startupProbe, app.startupProbe);
    assert.equal(container(after, 'other').livenessProbe?.tcpSocket?.port, 9903);
    assert.deepEqual(container(after, 'other').readinessProbe, other.readinessProbe);
  });

  test('are the app’s declared ones too, UDP as well, for callers of the pods’ own addresses', () => {
    const udp = rawContainer({ ports: [...(app.ports ?? []), { name: 'dns', containerPort: 53, protocol: 'UDP' }] });
    const bare = rawWorkload('Deployment', [udp]);
    const planned = planInstall(bare, withoutPorts(bare, redirect), AT).workload.after;
    const { command } = container(planned, REDIRECT_CONTAINER) as { command?: string[] } & Container;
    assert.deepEqual(command?.slice(3), ['tcp:8080:9901', 'udp:53:9902', 'tcp:9904:8080']);
  });
});
