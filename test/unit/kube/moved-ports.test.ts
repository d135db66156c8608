import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { movedHint, movedText, portWays } from '../../../cli/kube/moved-ports.ts';
import type { Service, ServicePort } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService } from '../../../cli/kube/plan-service.ts';
import { installRequest, portsThrough, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const deployment = rawWorkload('Deployment', [rawContainer()]);
const tcp = (port: number, targetPort: number | string): ServicePort => ({
  name: `p${port}`,
  port,
  protocol: 'TCP',
  targetPort,
});

describe('an intercepted port 80 of a Service', () => {
  for (const [name, before, after, leads, text] of [
    ['as it is left', [tcp(80, 8080)], undefined, 'agent', ''],
    ['whose number is put back', [tcp(80, 8080)], [tcp(80, 8080)], 'app', ''],
    ['that is given another number', [tcp(80, 8080)], [tcp(81, 'ki-9901')], 'agent', ''],
    [
      'that is led to a port the agent has none for',
      [tcp(80, 8080)],
      [tcp(80, 8081)],
      'elsewhere',
      'port 80 goes to 8081 now, not to the agent; it went to 8080',
    ],
    [
      'that is led to another port of the app, which the agent has one for',
      [tcp(80, 8080), tcp(81, 9090)],
      [tcp(80, 9090), tcp(81, 'ki-9902')],
      'elsewhere',
      'port 80 goes to 9090 now, not to the agent; it went to 8080',
    ],
    [
      'that is led to the agent’s other port',
      [tcp(80, 8080), tcp(81, 9090)],
      [tcp(80, 'ki-9902'), tcp(81, 'ki-9902')],
      'elsewhere',
      'port 80 goes to 9090 now, not to the agent; it went to 8080',
    ],
    [
      'beside which another one is led elsewhere',
      [tcp(80, 8080), tcp(81, 9090)],
      [tcp(80, 'ki-9901'), tcp(81, 1)],
      'agent',
      '',
    ],
    ['that is taken out', [tcp(80, 8080), tcp(81, 9090)], [tcp(81, 'ki-9902')], 'elsewhere', 'port 80 is gone'],
    ['by a name, as it is left', [tcp(80, 'http')], undefined, 'agent', ''],
    [
      'by a name that is made the app’s number',
      [tcp(80, 'http')],
      [tcp(80, 8080)],
      'elsewhere',
      'port 80 goes to 8080 now, not to the agent; it went to http',
    ],
  ] as const)
    test(name, () => {
      const service = rawService([...before]);
      const request = installRequest(deployment, service, { ports: portsThrough(service, deployment, 80) });
      const { record } = planInstall(deployment, request, AT);
      const pointed = planService(service, request, record) ?? service;
      const now: Service = after === undefined ? pointed : { ...pointed, spec: { ...pointed.spec, ports: [...after] } };
      const ways = portWays(now, record, request.ports, deployment.spec.template);
      assert.deepEqual([ways.map((way) => way.leads), movedText(ways)], [[leads], text]);
      assert.equal(movedHint(ways) === '', text === '');
      assert.doesNotMatch(movedHint(ways), /the app answers/);
    });
});

describe('an intercepted port 80 of a Service, of an agent that has the app’s ports', () => {
  const app = rawContainer({
    ports: [
      { name: 'http', containerPort: 8080, protocol: 'TCP' },
      { name: 'admin', containerPort: 9090, protocol: 'TCP' },
    ],
  });
  const workload = rawWorkload('Deployment', [app]);
  const elsewhere = (now: string): string => `port 80 goes to ${now} now, not to the agent; it went to 8080`;
  for (const mode of ['replace', 'redirect'] as const)
    for (const [name, after, leads, text] of [
      ['as it is left', tcp(80, 'http'), 'agent', ''],
      ['that is led there by the number', tcp(80, 8080), 'agent', ''],
      ['that is given another number', tcp(81, 'http'), 'agent', ''],
      ['that is led to another port of the app', tcp(80, 'admin'), 'elsewhere', elsewhere('admin')],
      ['that is led to a port that nobody declares', tcp(80, 8081), 'elsewhere', elsewhere('8081')],
      ['that is led to a name that nobody has', tcp(80, 'none'), 'elsewhere', elsewhere('none')],
      ['that is taken out', tcp(81, 'admin'), 'elsewhere', 'port 80 is gone'],
    ] as const)
      test(`${mode}: ${name}`, () => {
        const service = rawService([tcp(80, 'http')]);
        const ports = portsThrough(service, workload, 80, { mode: { kind: mode } });
        const { record } = planInstall(
          workload,
          installRequest(workload, service, { mode: { kind: mode }, ports }),
          AT,
        );
        const now = { ...service, spec: { ...service.spec, ports: [after] } };
        const ways = portWays(now, record, ports, workload.spec.template);
        assert.deepEqual([ways.map((way) => way.leads), movedText(ways)], [[leads], text]);
      });

  test('without an address of the Service’s own leads to the agent whatever it says: callers come to the pods', () => {
    const service = rawService([tcp(80, 8080)], { clusterIP: 'None' });
    const ports = portsThrough(service, workload, 80, { mode: { kind: 'replace' } });
    const request = installRequest(workload, service, { mode: { kind: 'replace' }, ports });
    const { record } = planInstall(workload, request, AT);
    const now = { ...service, spec: { ...service.spec, ports: [tcp(80, 9090)] } };
    assert.deepEqual(portWays(now, record, ports, workload.spec.template), []);
  });
});
