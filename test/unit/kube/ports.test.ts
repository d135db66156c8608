import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import type { Service, Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { allPorts } from '../../../cli/kube/pod-ports.ts';
import { choosePorts, type PortChoice, type PortSources, parsePortOption } from '../../../cli/kube/ports.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const workload = rawWorkload('Deployment', [rawContainer()]);

/** As typed on the command line. */
function choose(
  services: Service | readonly Service[],
  on: Workload,
  ports: string[],
  over: Partial<PortSources> = {},
): PortChoice[] {
  const all = Array.isArray(services) ? (services as Service[]) : [services as Service];
  const through = all.map(({ metadata }) => metadata.name);
  const sources: PortSources = { workload: on, services: all, through, mode: { kind: 'sidecar' }, ...over };
  return choosePorts(sources, ports.map(parsePortOption));
}

function named(name: string, ports: Service['spec']['ports']): Service {
  const service = rawService(ports);
  return { ...service, metadata: { ...service.metadata, name } };
}

describe('--port', () => {
  const none = { service: undefined, servicePort: undefined, protocol: undefined };
  test.each([
    ['3000', { ...none, localPort: 3000 }],
    ['3000:80', { ...none, localPort: 3000, servicePort: 80 }],
    ['65535:http', { ...none, localPort: 65535, servicePort: 'http' }],
    ['3000:8x', { ...none, localPort: 3000, servicePort: '8x' }],
    ['3000:web/http', { ...none, localPort: 3000, service: 'web', servicePort: 'http' }],
    ['3000:web/80', { ...none, localPort: 3000, service: 'web', servicePort: 80 }],
    ['5353:53/udp', { ...none, localPort: 5353, servicePort: 53, protocol: 'udp' }],
    ['5353:dns/53/tcp', { ...none, localPort: 5353, service: 'dns', servicePort: 53, protocol: 'tcp' }],
  ])('%s is understood', (text, expected) => {
    assert.deepEqual(parsePortOption(text), expected);
  });

  test.each([
    ...['', '0', '65536', 'http', '3000:', '3000:-a', '3000:A', '3000:99999', '1:2:3', ' 3000', '3e3', '-1'],
    ...['3000:/80', '3000:web/', '3000:a/b/80', '3000:Web/80', '3000:80/sctp', '3000/udp'],
  ])('"%s" is refused', (text) => {
    assert.throws(() => parsePortOption(text), { code: 'USAGE_BAD_PORT' });
  });
});

test('the only TCP port of a Service is taken, on its own number', () => {
  const service = rawService([
    { name: 'dns', port: 53, protocol: 'UDP', targetPort: 53 },
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
  ]);
  assert.deepEqual(choose(service, workload, []), [
    {
      service: 'web',
      servicePort: 80,
      servicePortName: 'web',
      localPort: 8080,
      appPort: 8080,
      protocol: 'tcp',
      container: 'app',
      targetName: 'http',
    },
  ]);
});

test('one of several ports must be named, by name or number', () => {
  const service = rawService([
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
    { name: 'metrics', port: 9090, protocol: 'TCP', targetPort: 9090 },
  ]);
  assert.throws(() => choose(service, workload, []), { code: 'USAGE_BAD_PORT', message: /web 80, metrics 9090/ });
  const byName = choose(service, workload, ['3000:metrics']);
  assert.deepEqual(byName, choose(service, workload, ['3000:9090']));
  assert.deepEqual(byName, choose(service, workload, ['3000:web/9090']));
  assert.equal(byName[0]?.appPort, 9090);
  assert.equal(byName[0]?.targetName, undefined);
});

test('a port that the Service does not have, an SCTP port and a port given twice are refused', () => {
  const service = rawService([
    { name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' },
    { name: 'sig', port: 36412, protocol: 'SCTP', targetPort: 36412 },
    { name: 'alt', port: 81, protocol: 'TCP', targetPort: 8080 },
  ]);
  assert.throws(() => choose(service, workload, ['3000:nope']), {
    code: 'USAGE_BAD_PORT',
    message: /no port nope; it has web 80, sig 36412\/SCTP, alt 81/,
  });
  assert.throws(() => choose(service, workload, ['3000:36412']), { code: 'USAGE_BAD_PORT', message: /SCTP/ });
  assert.throws(() => choose(service, workload, ['3000:web/udp']), {
    code: 'USAGE_BAD_PORT',
    message: 'port web of service "web" is TCP',
  });
  assert.throws(() => choose(service, workload, ['1:80', '2:81']), {
    code: 'USAGE_BAD_PORT',
    message: /same port 8080/,
  });
});

test('a number that both TCP and UDP have is TCP unless said, and both can be taken', () => {
  const service = rawService([
    { name: 'tcp', port: 53, protocol: 'TCP', targetPort: 5353 },
    { name: 'udp', port: 53, protocol: 'UDP', targetPort: 5353 },
  ]);
  const protocols = (...ports: string[]): string[] => choose(service, workload, ports).map(({ protocol }) => protocol);
  assert.deepEqual(protocols(), ['tcp']);
  assert.deepEqual(protocols('1:53'), ['tcp']);
  assert.deepEqual(protocols('1:53', '1:53/udp'), ['tcp', 'udp']);
  assert.deepEqual(protocols('1:web/udp/udp'), ['udp']);
  const only = rawService([{ port: 53, protocol: 'UDP', targetPort: 5353 }]);
  assert.equal(choose(only, workload, [])[0]?.protocol, 'udp');
  assert.throws(() => choose(only, workload, ['1:53/tcp']), { code: 'USAGE_BAD_PORT', hint: /leave "\/tcp" out/ });
});

describe('several Services of a workload', () => {
  const web = named('web', [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 'http' }]);
  const admin = named('admin', [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 9000 }]);
  const alias = named('alias', [{ port: 8000, protocol: 'TCP', targetPort: 8080 }]);

  test('are taken together, a port of the app that two lead to once', () => {
    const ports = choose([web, admin, alias], workload, []);
    assert.deepEqual(
      ports.map(({ appPort }) => appPort),
      [8080, 9000],
    );
  });

  test('that have a port of the same name ask for the Service', () => {
    assert.throws(() => choose([web, admin], workload, ['3000:http']), {
      code: 'USAGE_BAD_PORT',
      hint: 'say which one: --port 3000:web/http',
    });
    assert.equal(choose([web, admin], workload, ['3000:admin/http'])[0]?.appPort, 9000);
    assert.equal(choose([web, admin], workload, ['3000:admin/http'], { through: ['web'] })[0]?.service, 'admin');
    assert.throws(() => choose([web], workload, ['3000:nope/http']), { code: 'USAGE_BAD_PORT', hint: 'these do: web' });
  });
});

describe('without a Service, or past it', () => {
  const replace = { mode: { kind: 'replace' } } as const;

  test('ports of the pod are taken by name or number; none unless asked for', () => {
    assert.deepEqual(choose([], workload, [], replace), []);
    const [port] = choose([], workload, ['3000:http'], replace);
    assert.deepEqual(
      [port?.service, port?.servicePort, port?.appPort, port?.container],
      [undefined, 8080, 8080, 'app'],
    );
    assert.deepEqual(choose([], workload, ['3000:8080'], replace), [port]);
    assert.deepEqual(choose([], workload, ['3000'], replace), [port]);
    assert.equal(choose([], workload, ['3000:5000/udp'], replace)[0]?.protocol, 'udp');
    assert.throws(() => choose([], workload, ['3000:nope'], replace), {
      code: 'USAGE_BAD_PORT',
      message: /declare http 8080/,
    });
  });

  test('to be redirected there has to be a port: the only one, or one that is named', () => {
    const redirect = { mode: { kind: 'redirect' } } as const;
    assert.equal(choose([], workload, [], redirect)[0]?.appPort, 8080);
    const none = rawWorkload('Deployment', [rawContainer({ ports: [] })]);
    assert.throws(() => choose([], none, [], redirect), { code: 'USAGE_BAD_PORT', message: /declare no ports/ });
    assert.equal(choose([], none, ['3000:5000'], redirect)[0]?.appPort, 5000);
  });

  test('a port of the pod that no Service has is taken where there is one, if it is declared', () => {
    const ports = [...(rawContainer().ports ?? []), { name: 'admin', containerPort: 9000, protocol: 'TCP' }];
    const on = rawWorkload('Deployment', [rawContainer({ ports })]);
    const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }]);
    assert.equal(choose(service, on, ['3000:admin'], replace)[0]?.appPort, 9000);
    assert.throws(() => choose(service, on, ['3000:9001'], replace), { code: 'USAGE_BAD_PORT' });
    assert.throws(() => choose(service, on, ['3000:admin']), { code: 'USAGE_BAD_PORT' });
  });
});

test('a name that no container declares is named, and does not count among all ports', () => {
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'web' }]);
  assert.throws(() => choose(service, workload, []), { code: 'TARGET_UNSUPPORTED', message: /"web"/ });
  assert.deepEqual(allPorts([service], workload), []);
});

test('a name is looked for in the containers in order and with its protocol, as the endpoints controller does', () => {
  const two = rawWorkload('Deployment', [
    rawContainer({ name: 'dns', ports: [{ name: 'http', containerPort: 53, protocol: 'UDP' }] }),
    rawContainer({ name: 'first', ports: [{ name: 'http', containerPort: 1111, protocol: 'TCP' }] }),
    rawContainer({ name: 'second', ports: [{ name: 'http', containerPort: 2222, protocol: 'TCP' }] }),
  ]);
  const [tcp] = choose(rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }]), two, []);
  assert.deepEqual([tcp?.container, tcp?.appPort], ['first', 1111]);
  const [udp] = choose(rawService([{ port: 80, protocol: 'UDP', targetPort: 'http' }]), two, []);
  assert.deepEqual([udp?.container, udp?.appPort], ['dns', 53]);
});

test('an undeclared number belongs to --container, to the default container, or to the first', () => {
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 5000 }]);
  const two = rawWorkload('Deployment', [rawContainer({ name: 'proxy', ports: [] }), rawContainer({ ports: [] })]);
  assert.equal(choose(service, two, [])[0]?.container, 'proxy');
  assert.equal(choose(service, two, [], { container: 'app' })[0]?.container, 'app');
  two.spec.template.metadata = { annotations: { 'kubectl.kubernetes.io/default-container': 'app' } };
  assert.equal(choose(service, two, [])[0]?.container, 'app');
});

test('--container is refused with the names there are, an init container with its reason', () => {
  const service = rawService([{ port: 80, protocol: 'TCP', targetPort: 'http' }]);
  const on = structuredClone(workload);
  on.spec.template.spec.initContainers = [rawContainer({ name: 'migrate', ports: [] })];
  assert.throws(() => choose(service, on, [], { container: 'nope' }), {
    code: 'USAGE_BAD_OPTION',
    hint: 'they have app',
  });
  assert.throws(() => choose(service, on, [], { container: 'migrate' }), {
    code: 'USAGE_BAD_OPTION',
    message: /init container/,
  });
});

test('ports are the same with the agent in as without it, in every mode', () => {
  for (const targetPort of ['http', 8080, 5000])
    for (const kind of ['sidecar', 'replace', 'redirect'] as const) {
      const service = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort }]);
      const plan = planInstall(workload, installRequest(workload, service, { mode: { kind } }), '2026-01-01T00:00:00Z');
      const after = choose(plan.services[0]?.after ?? service, plan.workload.after, []);
      assert.deepEqual(after, choose(service, workload, []));
    }
});
