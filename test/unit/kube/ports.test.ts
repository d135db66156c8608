import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { allPorts, choosePorts, parsePortOption } from '../../../cli/kube/ports.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const workload = rawWorkload('Deployment', [rawContainer()]);

describe('--port', () => {
  test.each([
    ['3000', { localPort: 3000, servicePort: undefined }],
    ['3000:80', { localPort: 3000, servicePort: 80 }],
    ['65535:http', { localPort: 65535, servicePort: 'http' }],
    ['3000:8x', { localPort: 3000, servicePort: '8x' }],
  ])('%s is understood', (text, expected) => {
    assert.deepEqual(parsePortOption(text), expected);
  });

  test.each(['', '0', '65536', 'http', '3000:', '3000:-a', '3000:A', '3000:99999', '1:2:3', ' 3000', '3e3', '-1'])(
    '"%s" is refused',
    (text) => {
      assert.throws(() => parsePortOption(text), { code: 'USAGE_BAD_PORT' });
    },
  );
});

test('the only TCP port of a Service is taken, on its own number', () => {
  const service = rawService([
    { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
  ]);
  assert.deepEqual(choosePorts(service, workload, []), [
    { servicePort: 80, servicePortName: 'web', localPort: 8080, appPort: 8080, container: 'app', targetName: 'http' },
  ]);
});

test('one of several ports must be named, by name or number', () => {
  const service = rawService([
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
    { name: 'metrics', port: 9090, protocol: 'TCP', targetPort: 9090 },
  ]);
  assert.throws(() => choosePorts(service, workload, []), { code: 'USAGE_BAD_PORT', message: /web 80, metrics 9090/ });
  const byName = choosePorts(service, workload, [{ localPort: 3000, servicePort: 'metrics' }]);
  const byNumber = choosePorts(service, workload, [{ localPort: 3000, servicePort: 9090 }]);
  assert.deepEqual(byName, byNumber);
  assert.equal(byName[0]?.appPort, 9090);
  assert.equal(byName[0]?.targetName, undefined);
});

test('a port that the Service does not have, a UDP port and a port given twice are refused', () => {
  const service = rawService([
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
    { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
    { name: 'alt', port: 81, protocol: 'TCP', targetPort: 8080 },
  ]);
  const choose = (...ports: (string | number)[]) =>
    choosePorts(
      service,
      workload,
      ports.map((servicePort) => ({ localPort: 3000, servicePort })),
    );
  assert.throws(() => choose('nope'), {
    code: 'USAGE_BAD_PORT',
    message: /no port nope; it has web 80, dns 53\/UDP, alt 81/,
  });
  assert.throws(() => choose(53), { code: 'USAGE_BAD_PORT', message: /UDP/ });
  assert.throws(() => choose(80, 81), { code: 'USAGE_BAD_PORT', message: /same port 8080/ });
});

test('a name that no container declares is named, and does not count among all ports', () => {
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'web' }]);
  assert.throws(() => choosePorts(service, workload, []), { code: 'TARGET_UNSUPPORTED', message: /"web"/ });
  assert.deepEqual(allPorts(service, workload), []);
});

test('a name is looked for in the containers in order and only for TCP, as the endpoints controller does', () => {
  const two = rawWorkload('Deployment', [
    rawContainer({ name: 'dns', ports: [{ name: 'http', containerPort: 53, protocol: 'UDP' }] }),
    rawContainer({ name: 'first', ports: [{ name: 'http', containerPort: 1111, protocol: 'TCP' }] }),
    rawContainer({ name: 'second', ports: [{ name: 'http', containerPort: 2222, protocol: 'TCP' }] }),
  ]);
  const [port] = choosePorts(rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }]), two, []);
  assert.deepEqual([port?.container, port?.appPort], ['first', 1111]);
});

test('an undeclared number belongs to the default container, or to the first', () => {
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 5000 }]);
  const two = rawWorkload('Deployment', [rawContainer({ name: 'proxy' }), rawContainer()]);
  assert.equal(choosePorts(service, two, [])[0]?.container, 'proxy');
  two.spec.template.metadata = { annotations: { 'kubectl.kubernetes.io/default-container': 'app' } };
  assert.equal(choosePorts(service, two, [])[0]?.container, 'app');
});

test('ports are the same with the agent in as without it', () => {
  for (const targetPort of ['http', 8080, 5000]) {
    const service = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort }]);
    const plan = planInstall(workload, installRequest(workload, service), '2026-01-01T00:00:00Z');
    const after = choosePorts(plan.service?.after ?? service, plan.workload.after, []);
    assert.deepEqual(after, choosePorts(service, workload, []));
  }
});
