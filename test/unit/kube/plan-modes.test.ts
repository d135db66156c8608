import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, test } from 'vitest';
import { originalWorkload } from '../../../cli/kube/annotation.ts';
import { sameJson } from '../../../cli/kube/changes.ts';
import { AGENT_CONTAINER, REDIRECT_CONTAINER } from '../../../cli/kube/names.ts';
import type { Container, Service, Workload } from '../../../cli/kube/objects.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { restoredService } from '../../../cli/kube/plan-service.ts';
import { choosePorts } from '../../../cli/kube/ports.ts';
import { templateRestored } from '../../../cli/kube/restore.ts';
import { parseAgentConfig } from '../../../src/protocol/agent-config.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const replace = { mode: { kind: 'replace' } } as const;
const redirect = { mode: { kind: 'redirect' } } as const;
const headless = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 'http' }], { clusterIP: 'None' });

function find(workload: Workload, name: string): Container {
  const { containers, initContainers = [] } = workload.spec.template.spec;
  const found = [...containers, ...initContainers].find((container) => container.name === name);
  assert.ok(found, name);
  return found;
}

function names(workload: Workload): string[] {
  return workload.spec.template.spec.containers.map(({ name }) => name);
}

function configOf(workload: Workload) {
  const variable = find(workload, AGENT_CONTAINER).env?.find(({ name }) => name === 'KUBE_INTERCEPT_AGENT');
  return parseAgentConfig(variable?.value ?? '');
}

/** As `intercept run`'s and a worker's: no port is asked for. */
function withoutPorts(workload: Workload, over: Partial<InstallRequest>): InstallRequest {
  return installRequest(workload, headless, { services: [], ports: [], ...over });
}

describe('an app that is replaced', () => {
  const app = rawContainer({
    ports: [
      { name: 'http', containerPort: 8080, hostPort: 8080, protocol: 'TCP' },
      { name: 'metrics', containerPort: 9900, protocol: 'TCP' },
      { name: 'dns', containerPort: 5353, protocol: 'UDP' },
    ],
  });
  const mesh = rawContainer({ name: 'mesh', ports: [{ name: 'http', containerPort: 15000, protocol: 'TCP' }] });
  const workload = rawWorkload('StatefulSet', [rawContainer({ name: 'log', ports: [] }), app, mesh]);
  const plan = planInstall(workload, installRequest(workload, headless, { ...replace, container: 'app' }), AT);
  const { after } = plan.workload;

  test('is out of the pod, and the agent has its place, its ports by name and number, and no Service changes', () => {
    assert.deepEqual(names(after), ['log', AGENT_CONTAINER, 'mesh']);
    const [tunnel, ...ports] = find(after, AGENT_CONTAINER).ports ?? [];
    assert.deepEqual(tunnel, { name: 'ki-tunnel', containerPort: 9901, protocol: 'TCP' });
    assert.ok(sameJson(ports, app.ports));
    assert.deepEqual(configOf(after), {
      version: 1,
      tunnelPort: 9901,
      container: 'app',
      app: 'replaced',
      routes: [
        { port: 8080, appPort: 8080, protocol: 'tcp' },
        { port: 9900, appPort: 9900, protocol: 'tcp' },
        { port: 5353, appPort: 5353, protocol: 'udp' },
      ],
    });
    assert.deepEqual(plan.services, []);
    assert.deepEqual(find(after, 'mesh'), mesh);
    assert.equal(find(after, AGENT_CONTAINER).livenessProbe, undefined);
  });

  test('comes back as it was, in its place', () => {
    assert.deepEqual(originalWorkload(after), workload);
    assert.deepEqual(
      templateRestored({ kind: 'StatefulSet', namespace: 'shop', name: 'web' }, after).spec.template,
      workload.spec.template,
    );
  });

  test('stays as somebody has put it back meanwhile', () => {
    const copy = structuredClone(after);
    copy.spec.template.spec.containers.push({ ...app, image: 'shop:2' });
    assert.deepEqual(names(originalWorkload(copy)), ['log', 'mesh', 'app']);
    assert.equal(find(originalWorkload(copy), 'app').image, 'shop:2');
  });

  test('needs no Service: a worker has no ports, and its environment and mounts are the agent’s', () => {
    const parts = {
      ports: [],
      env: [{ name: 'QUEUE', value: 'jobs' }],
      volumeMounts: [{ name: 'v', mountPath: '/v' }],
    };
    const { readinessProbe: _, ...bare } = rawContainer(parts);
    const worker = rawWorkload('Deployment', [bare]);
    const planned = planInstall(worker, withoutPorts(worker, replace), AT);
    assert.deepEqual(names(planned.workload.after), [AGENT_CONTAINER]);
    const agent = find(planned.workload.after, AGENT_CONTAINER);
    assert.deepEqual(agent.env?.[0], { name: 'QUEUE', value: 'jobs' });
    assert.equal(agent.volumeMounts?.at(-1)?.mountPath, '/kube-intercept/volumes/v');
    assert.deepEqual(configOf(planned.workload.after).routes, []);
    assert.deepEqual(originalWorkload(planned.workload.after), worker);
  });

  test('on a port below 1024 needs a cluster that takes the sysctl', () => {
    const low = rawWorkload('Deployment', [rawContainer({ ports: [{ name: 'http', containerPort: 80 }] })]);
    const request = installRequest(low, headless, replace);
    assert.throws(() => planInstall(low, request, AT), { code: 'TARGET_UNSUPPORTED', message: /below 1024.*1\.22/ });
    const planned = planInstall(low, { ...request, portSysctl: true }, AT).workload.after;
    assert.deepEqual(planned.spec.template.spec.securityContext, {
      sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }],
    });
    assert.deepEqual(originalWorkload(planned), low);
  });

  test('is named by others for its resources: they get the agent’s instead of none', () => {
    const valueFrom = { resourceFieldRef: { containerName: 'app', resource: 'limits.memory' } };
    const two = rawWorkload('Deployment', [
      rawContainer({ env: [{ name: 'OWN', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } }] }),
      rawContainer({ name: 'other', ports: [], env: [{ name: 'APP_MEMORY', valueFrom }] }),
    ]);
    const items = [{ path: 'memory', resourceFieldRef: { containerName: 'app', resource: 'limits.memory' } }];
    two.spec.template.spec.volumes = [
      { name: 'a', downwardAPI: { items } },
      { name: 'b', projected: { sources: [{ secret: { name: 's' } }, { downwardAPI: { items } }] } },
    ];
    const planned = planInstall(two, installRequest(two, headless, replace), AT).workload.after;
    const { containers, volumes } = planned.spec.template.spec;
    assert.doesNotMatch(JSON.stringify([containers, volumes]), /"containerName":"app"/);
    assert.equal(JSON.stringify([containers, volumes]).split(`"containerName":"${AGENT_CONTAINER}"`).length, 5);
    assert.deepEqual(originalWorkload(planned), two);
  });

  test('is one container, an ordinary one: ports of another and sidecars are refused', () => {
    const two = rawWorkload('Deployment', [rawContainer(), rawContainer({ name: 'other', ports: [] })]);
    two.spec.template.spec.initContainers = [rawContainer({ name: 'proxy', ports: [], restartPolicy: 'Always' })];
    const request = installRequest(two, headless, replace);
    assert.throws(() => planInstall(two, { ...request, container: 'other' }, AT), {
      code: 'USAGE_BAD_PORT',
      hint: /--container app/,
    });
    assert.throws(() => planInstall(two, { ...request, container: 'proxy' }, AT), { code: 'USAGE_BAD_OPTION' });
    assert.throws(() => planInstall(two, { ...request, container: 'nope' }, AT), {
      code: 'USAGE_BAD_OPTION',
      hint: 'they have app, other, proxy',
    });
  });
});

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
    assert.deepEqual(find(after, 'app').ports, app.ports);
    assert.deepEqual(plan.services, []);
    assert.deepEqual(configOf(after).routes, [{ port: 9901, appPort: 8080, protocol: 'tcp' }]);
  });

  test('are redirected by an init container that may do only that, before the others', () => {
    assert.equal(after.spec.template.spec.initContainers?.[0]?.name, REDIRECT_CONTAINER);
    const { command, securityContext } = find(after, REDIRECT_CONTAINER) as { command?: string[] } & Container;
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
    const changed = find(after, 'app');
    assert.equal(changed.livenessProbe?.tcpSocket?.port, 9903);
    assert.equal(changed.readinessProbe?.httpGet?.port, 9903);
    assert.equal(changed.lifecycle?.preStop?.httpGet?.port, 9903);
    assert.deepEqual(changed.lifecycle?.postStart, elsewhere);
    assert.deepEqual(changed.startupProbe, app.startupProbe);
    assert.equal(find(after, 'other').livenessProbe?.tcpSocket?.port, 9903);
    assert.deepEqual(find(after, 'other').readinessProbe, other.readinessProbe);
  });

  test('are the app’s declared ones too, UDP as well, for callers of the pods’ own addresses', () => {
    const udp = rawContainer({ ports: [...(app.ports ?? []), { name: 'dns', containerPort: 53, protocol: 'UDP' }] });
    const bare = rawWorkload('Deployment', [udp]);
    const planned = planInstall(bare, withoutPorts(bare, redirect), AT).workload.after;
    const { command } = find(planned, REDIRECT_CONTAINER) as { command?: string[] } & Container;
    assert.deepEqual(command?.slice(3), ['tcp:8080:9901', 'udp:53:9902', 'tcp:9904:8080']);
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
  assert.equal(find(after, 'udp').ports?.[0]?.name, 'ki-dns');
  assert.deepEqual(find(after, AGENT_CONTAINER).ports?.at(-1), { name: 'dns', containerPort: 9901, protocol: 'UDP' });
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
      const all = find(after, AGENT_CONTAINER).ports ?? [];
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
