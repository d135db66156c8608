import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { originalService, originalWorkload, readInstall } from '../../../cli/kube/annotation.ts';
import { withdrawn } from '../../../cli/kube/extension.ts';
import { AGENT_CONTAINER, INTERCEPT_ANNOTATION } from '../../../cli/kube/names.ts';
import type { Container, Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService, restoredService } from '../../../cli/kube/plan-service.ts';
import { templateRestored } from '../../../cli/kube/restore.ts';
import { parseAgentConfig } from '../../../src/protocol/agent-config.ts';
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

function container(workload: Workload, name: string): Container {
  const found = workload.spec.template.spec.containers.find((c) => c.name === name);
  assert.ok(found, name);
  return found;
}

function configOf(workload: Workload) {
  const variable = container(workload, AGENT_CONTAINER).env?.find(({ name }) => name === 'KUBE_INTERCEPT_AGENT');
  return parseAgentConfig(variable?.value ?? '');
}

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

test('what an install adds and changes is taken back to the original, whatever optional parts it has', () => {
  const option = <T>(value: T) => fc.option(fc.constant(value), { nil: undefined });
  const anyContainer = fc
    .record(
      {
        env: option([
          { name: 'NODE_OPTIONS', value: '--inspect' },
          { name: 'A', value: '$(NODE_OPTIONS)' },
        ]),
        envFrom: option([{ configMapRef: { name: 'c' } }]),
        volumeMounts: option([{ name: 'v', mountPath: '/v' }]),
        livenessProbe: option({ httpGet: { path: '/', port: 'http' } }),
      },
      { requiredKeys: [] },
    )
    .map((parts) => rawContainer(JSON.parse(JSON.stringify(parts)) as Partial<Container>));
  fc.assert(
    fc.property(
      anyContainer,
      fc.constantFrom('Deployment' as const, 'StatefulSet' as const),
      fc.constantFrom(named, numeric),
      fc.constantFrom<{ name: string }[] | undefined>(undefined, [], [{ name: 'v' }]),
      fc.constantFrom(undefined, {}, { a: 'b' }),
      fc.constantFrom<[number | string, number | string]>(['25%', '25%'], [0, 1], ['100%', '100%'], [1, 0]),
      (app, kind, service, volumes, annotations, [maxSurge, maxUnavailable]) => {
        const workload = rawWorkload(kind, [app], { replicas: 5 });
        if (volumes !== undefined) workload.spec.template.spec.volumes = volumes;
        if (annotations !== undefined) workload.metadata.annotations = annotations;
        if (kind === 'Deployment')
          workload.spec.strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } };
        const { after } = planInstall(workload, installRequest(workload, service), AT).workload;
        assert.deepEqual(originalWorkload(after), workload);
        const back = templateRestored({ kind, namespace: 'shop', name: 'web' }, after);
        assert.deepEqual(back.spec.template, workload.spec.template);
        assert.deepEqual(originalWorkload(back), workload);
        assert.deepEqual(templateRestored({ kind, namespace: 'shop', name: 'web' }, back), back);
      },
    ),
  );
});

test('an unfinished restore is planned away: the next install starts from the original', () => {
  const request = installRequest(deployment, named);
  const first = planInstall(deployment, request, AT).workload.after;
  const restoring = templateRestored({ kind: 'Deployment', namespace: 'shop', name: 'web' }, first);
  assert.equal(readInstall(restoring).state, 'restoring');
  const second = planInstall(restoring, { ...request, installId: '11111111' }, AT);
  assert.equal(second.action, 'install');
  assert.deepEqual(originalWorkload(second.workload.after), deployment);
});

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
