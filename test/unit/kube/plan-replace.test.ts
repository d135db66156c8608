import assert from 'node:assert/strict';
import { describe, test } from 'vitest';
import { originalWorkload } from '../../../cli/kube/annotation.ts';
import { sameJson } from '../../../cli/kube/changes.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { templateRestored } from '../../../cli/kube/restore.ts';
import { configOf, container } from './planned-workload.ts';
import { headless, installRequest, rawContainer, rawWorkload, withoutPorts } from './raw-objects.ts';

const AT = '2026-01-01T00:00:00Z';
const replace = { mode: { kind: 'replace' } } as const;

function names(workload: Workload): string[] {
  return workload.spec.template.spec.containers.map(({ name }) => name);
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
    const [tunnel, ...ports] = container(after, AGENT_CONTAINER).ports ?? [];
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
    assert.deepEqual(container(after, 'mesh'), mesh);
    assert.equal(container(after, AGENT_CONTAINER).livenessProbe, undefined);
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
    assert.equal(container(originalWorkload(copy), 'app').image, 'shop:2');
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
    const agent = container(planned.workload.after, AGENT_CONTAINER);
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
