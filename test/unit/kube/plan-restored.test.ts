import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'vitest';
import { originalWorkload, readInstall } from '../../../cli/kube/annotation.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import type { Container, Service } from '../../../cli/kube/objects.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { restoredService } from '../../../cli/kube/plan-service.ts';
import { choosePorts } from '../../../cli/kube/ports.ts';
import { templateRestored } from '../../../cli/kube/restore.ts';
import { configOf, container } from './planned-workload.ts';
import { installRequest, rawContainer, rawService, rawWorkload, withoutPorts } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const named = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }]);
const numeric = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 8080 }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);

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

/** Workloads of one to three containers with ports, probes and pod settings of all kinds, and Services that lead to them. */
const anyScene = fc
  .record({
    kind: fc.constantFrom('Deployment' as const, 'StatefulSet' as const),
    containers: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('app', 'web', 'side'),
        ports: fc.uniqueArray(
          fc.record({
            name: fc.option(fc.constantFrom('http', 'admin', 'dns', 'ki-http'), { nil: undefined }),
            containerPort: fc.constantFrom(80, 8080, 9900, 9901, 5353),
            protocol: fc.constantFrom('TCP', 'UDP'),
          }),
          { maxLength: 3, selector: ({ containerPort, protocol }) => `${containerPort}${protocol}` },
        ),
        probe: fc.option(fc.constantFrom<number | string>('http', 'admin', 8080, 9901), { nil: undefined }),
        env: fc.boolean(),
      }),
      { minLength: 1, maxLength: 3, selector: ({ name }) => name },
    ),
    services: fc.array(
      fc.array(
        fc.record({
          port: fc.integer({ min: 1, max: 4 }),
          protocol: fc.constantFrom('TCP', 'UDP'),
          targetPort: fc.constantFrom<number | string>('http', 'admin', 'dns', 8080, 9901, 7070),
        }),
        { minLength: 1, maxLength: 4 },
      ),
      { maxLength: 3 },
    ),
    sysctls: fc.constantFrom(undefined, [], [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '1024' }]),
    initContainers: fc.constantFrom<Container[] | undefined>(undefined, [], [rawContainer({ name: 'init' })]),
    mode: fc.constantFrom('sidecar' as const, 'replace' as const, 'redirect' as const),
    asked: fc.nat(20),
  })
  .map(({ kind, containers, services, sysctls, initContainers, mode, asked }) => {
    const workload = rawWorkload(
      kind,
      containers.map(({ name, ports, probe, env }) => {
        const unique = ports.map(({ name: port, ...rest }, index) => ({
          ...(port === undefined || ports.findIndex((one) => one.name === port) < index ? {} : { name: port }),
          ...rest,
        }));
        const { readinessProbe: _, ...bare } = rawContainer({ name, ports: unique });
        return {
          ...bare,
          ...(probe === undefined ? {} : { livenessProbe: { tcpSocket: { port: probe } } }),
          ...(env
            ? {
                env: [{ name: 'M', valueFrom: { resourceFieldRef: { containerName: 'app', resource: 'limits.cpu' } } }],
              }
            : {}),
        };
      }),
    );
    if (sysctls !== undefined) workload.spec.template.spec.securityContext = { sysctls };
    if (initContainers !== undefined) workload.spec.template.spec.initContainers = initContainers;
    const objects = services.map((ports, index): Service => {
      const service = rawService(ports.map((port, nth) => ({ ...port, port: port.port * 100 + nth })));
      return { ...service, metadata: { ...service.metadata, name: `svc-${index}` } };
    });
    return { workload, services: objects, mode: { kind: mode }, asked };
  });

test('whatever a workload and its Services are like, in every mode, all is taken back to the originals', () => {
  let planned = 0;
  fc.assert(
    fc.property(anyScene, ({ workload, services, mode, asked }) => {
      const request = withoutPorts(workload, { mode, services, portSysctl: true });
      const service = services[asked % Math.max(1, services.length)];
      const port = service?.spec.ports?.[asked % (service.spec.ports?.length ?? 1)];
      let ports: InstallRequest['ports'] = [];
      if (service !== undefined && port !== undefined)
        try {
          const through = [service.metadata.name];
          const option = { localPort: 3000, service: undefined, servicePort: port.port, protocol: undefined };
          ports = choosePorts({ workload, services, through, mode }, [option]);
        } catch {
          return; // a name that nobody declares
        }
      let plan: ReturnType<typeof planInstall>;
      try {
        plan = planInstall(workload, { ...request, ports }, AT);
      } catch (refusal) {
        // a name that both protocols have, a port of another container than the replaced one
        assert.match((refusal as { code: string }).code, /^(TARGET_UNSUPPORTED|USAGE_BAD_PORT)$/);
        return;
      }
      planned += 1;
      const { after } = plan.workload;
      assert.deepEqual(originalWorkload(after), workload);
      const ref = { kind: workload.kind as 'Deployment', namespace: 'shop', name: 'web' };
      const back = templateRestored(ref, after);
      assert.deepEqual(back.spec.template, workload.spec.template);
      assert.deepEqual(originalWorkload(back), workload);
      for (const { before, after: retargeted } of plan.services) {
        assert.equal(mode.kind, 'sidecar');
        assert.deepEqual(restoredService(retargeted, undefined), before);
        const { annotations: _, ...metadata } = retargeted.metadata;
        assert.deepEqual(restoredService({ ...retargeted, metadata }, plan.record), before);
      }
      const all = container(after, AGENT_CONTAINER).ports ?? [];
      const unnamed = all.filter(({ name }) => name === undefined);
      for (const port of unnamed)
        assert.equal(
          all.filter((one) => one.containerPort === port.containerPort && one.protocol === port.protocol).length,
          1,
        );
      const { routes } = configOf(after);
      for (const key of ['port', 'appPort'] as const)
        assert.equal(new Set(routes.map((route) => `${route[key]}${route.protocol}`)).size, routes.length);
      const taken = all.flatMap(({ name }) => name ?? []);
      assert.equal(new Set(taken).size, taken.length);
      assert.equal(planInstall(after, { ...request, ports }, AT).action, 'reuse');
      // another one of the same mode, for nothing: what is there does
      assert.equal(
        planInstall(after, { ...request, ...(mode.kind === 'replace' ? { ports } : {}) }, AT).action,
        'reuse',
      );
    }),
    { numRuns: 800 },
  );
  assert.ok(planned > 200);
});
