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
      const ways = portWays(now, record, request.ports);
      assert.deepEqual([ways.map((way) => way.leads), movedText(ways)], [[leads], text]);
      assert.equal(movedHint(ways) === '', text === '');
      assert.doesNotMatch(movedHint(ways), /the app answers/);
    });
});
