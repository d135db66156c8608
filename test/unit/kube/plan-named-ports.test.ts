import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { originalWorkload } from '../../../cli/kube/annotation.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { choosePorts } from '../../../cli/kube/ports.ts';
import { configOf, container } from './planned-workload.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const named = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);

describe('a named target port', () => {
  const plan = planInstall(deployment, installRequest(deployment, named), AT);

  test('is taken over by the agent, and the app keeps its own under another name, probes included', () => {
    const app = container(plan.workload.after, 'app');
    assert.deepEqual(app.ports, [
      { name: 'ki-http', containerPort: 8080, protocol: 'TCP' },
      { name: 'ki-9901', containerPort: 9901, protocol: 'TCP' }, // what only pods with the agent have
    ]);
    assert.equal(app.readinessProbe?.httpGet?.port, 'ki-http');
    assert.deepEqual(container(plan.workload.after, AGENT_CONTAINER).ports, [
      { name: 'ki-tunnel', containerPort: 9900, protocol: 'TCP' },
      { name: 'ki-drain', containerPort: 9902, protocol: 'TCP' },
      { name: 'http', containerPort: 9901, protocol: 'TCP' },
    ]);
    assert.deepEqual(configOf(plan.workload.after), {
      version: 1,
      tunnelPort: 9900,
      container: 'app',
      app: 'present',
      routes: [{ port: 9901, appPort: 8080, protocol: 'tcp' }],
      drainPort: 9902,
    });
  });

  test('leaves the Service alone', () => {
    assert.deepEqual(plan.services, []);
  });

  test('that two ports of the container share a number with is found by its name', () => {
    const ports = ['metrics', 'http'].map((name) => ({ name, containerPort: 8080, protocol: 'TCP' }));
    const workload = rawWorkload('Deployment', [rawContainer({ ports })]);
    const { after } = planInstall(workload, installRequest(workload, named), AT).workload;
    assert.deepEqual(
      container(after, 'app').ports?.map(({ name }) => name),
      ['metrics', 'ki-http', 'ki-9901'],
    );
    assert.deepEqual(originalWorkload(after), workload);
  });

  test('is renamed in every container that declares it, in hooks too, to names of their own', () => {
    const lifecycle = { preStop: { httpGet: { path: '/stop', port: 'http' } } };
    const workload = rawWorkload('Deployment', [
      rawContainer({ lifecycle, startupProbe: { tcpSocket: { port: 'http' } } }),
      rawContainer({ name: 'other', ports: [{ name: 'http', containerPort: 8081, protocol: 'TCP' }] }),
    ]);
    const { after } = planInstall(workload, installRequest(workload, named), AT).workload;
    assert.equal(container(after, 'app').lifecycle?.preStop?.httpGet?.port, 'ki-http');
    assert.equal(container(after, 'app').startupProbe?.tcpSocket?.port, 'ki-http');
    assert.equal(container(after, 'other').ports?.[0]?.name, 'ki-http-2');
    assert.equal(container(after, 'other').readinessProbe?.httpGet?.port, 'ki-http-2');
    assert.deepEqual(originalWorkload(after), workload);
  });
});

test('names of UDP ports are taken over as those of TCP, and once where both have it', () => {
  const service = rawService([
    { name: 'tcp', port: 53, protocol: 'TCP', targetPort: 'dns' },
    { name: 'udp', port: 53, protocol: 'UDP', targetPort: 'dns' },
  ]);
  const udp = rawContainer({ name: 'udp', ports: [{ name: 'dns', containerPort: 53, protocol: 'UDP' }] });
  const one = rawWorkload('Deployment', [udp]);
  const planned = planInstall(one, installRequest(one, service, { ports: [] }), AT);
  assert.deepEqual(planned.record.routes, []); // nobody takes traffic: no name is taken over
  const only = rawService([{ name: 'udp', port: 53, protocol: 'UDP', targetPort: 'dns' }]);
  const { after } = planInstall(one, installRequest(one, only), AT).workload;
  assert.equal(container(after, 'udp').ports?.[0]?.name, 'ki-dns');
  assert.deepEqual(container(after, AGENT_CONTAINER).ports?.at(-1), {
    name: 'dns',
    containerPort: 9901,
    protocol: 'UDP',
  });
  const both = rawWorkload('Deployment', [
    udp,
    rawContainer({ name: 'tcp', ports: [{ name: 'dns', containerPort: 53, protocol: 'TCP' }] }),
  ]);
  const sources = { workload: both, services: [service], through: ['web'], mode: { kind: 'sidecar' } as const };
  const ask = (protocol: 'tcp' | 'udp') =>
    choosePorts(sources, [{ localPort: 1, service: undefined, servicePort: 53, protocol }]);
  const { record } = planInstall(both, installRequest(both, service, { ports: ask('tcp') }), AT);
  assert.deepEqual(
    record.routes.map(({ protocol }) => protocol),
    ['tcp'],
  );
  assert.throws(() => planInstall(both, installRequest(both, service, { ports: ask('udp') }), AT), {
    code: 'TARGET_UNSUPPORTED',
  });
});
