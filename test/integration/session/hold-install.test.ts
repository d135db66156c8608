import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { Service, ServicePort } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService } from '../../../cli/kube/plan-service.ts';
import type { InstallMode } from '../../../cli/kube/record.ts';
import { HeldInstall, MAX_SET_AGAIN } from '../../../cli/session/hold-install.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import type { InterceptorError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log.ts';
import { installRequest, portsThrough, rawContainer, rawService, rawWorkload } from '../../unit/kube/raw-objects.ts';
import { clientFor, sendJson, statusObject, wireServer } from '../kube/api-fixture.ts';

const AT = '2026-01-01T00:00:00Z';
const web = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 8080 }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);

/** An API server with the Service alone, and a session that has pointed it at its agents. */
async function heldService(original = web, mode: InstallMode = { kind: 'sidecar' }) {
  const request = installRequest(deployment, original, {
    mode,
    ports: portsThrough(original, deployment, 80, { mode }),
  });
  const { record } = planInstall(deployment, request, AT);
  let stored: Service | undefined;
  const store = (service: Service, manager: string): void => {
    const version = Number((stored ?? service).metadata.resourceVersion) + 1;
    const time = new Date(Date.parse(AT) + version * 1000).toISOString();
    const entry = { manager, operation: 'Update', time, fieldsV1: { version: `${version}` } };
    const others = (stored?.metadata.managedFields ?? []) as { manager: string }[];
    const managedFields = [...others.filter((other) => other.manager !== manager), entry];
    stored = { ...service, metadata: { ...service.metadata, resourceVersion: `${version}`, managedFields } };
  };
  const retargetNow = (): void => {
    const planned = planService(stored ?? original, request, record);
    store(planned ?? stored ?? original, 'kube-intercept');
  };
  retargetNow();
  const server = await wireServer((_, response) => {
    if (stored === undefined) sendJson(response, 404, statusObject(404, 'NotFound', 'gone'));
    else sendJson(response, 200, stored);
  });
  const events: SessionEvent[] = [];
  const ends: { reason: string; error: InterceptorError | undefined }[] = [];
  /** Before the retarget of the session. */
  const raced: (() => void)[] = [];
  const held = new HeldInstall({
    client: await clientFor(server.url),
    ref: { kind: 'Deployment', namespace: 'shop', name: 'web' },
    record,
    ports: request.ports,
    workload: deployment,
    services: [original],
    signal: new AbortController().signal,
    report: (event) => events.push(event),
    log: silentLog,
    retarget: async () => {
      raced.shift()?.();
      retargetNow();
    },
    onGone: (reason, error) => ends.push({ reason, error }),
  });
  const see = async (): Promise<void> => await held.sawService(stored ?? original);
  await see();
  return {
    ends,
    raced,
    warnings: () => events.flatMap((event) => (event.event === 'warning' ? event.message : [])),
    targets: () => stored?.spec.ports?.map(({ targetPort }) => targetPort),
    /** As kubectl patch: our annotation stays. */
    edit: (ports: ServicePort[], manager = 'kubectl-patch'): void => {
      const service = stored ?? original;
      store({ ...service, spec: { ...service.spec, ports } }, manager);
    },
    see,
  };
}

const to = (targetPort: number | string): ServicePort[] => [{ name: 'web', port: 80, protocol: 'TCP', targetPort }];

test('a Service that is put back is pointed at the agent again, and is told of when it is so', async () => {
  const its = await heldService();
  const [pointed] = its.targets() ?? [];
  its.edit(to(8080));
  await its.see();
  assert.deepEqual(its.warnings(), [
    'service/web has been put back by kubectl-patch; it is pointed at the agent again',
  ]);
  assert.deepEqual([its.targets(), its.ends], [[pointed], []]);
});

test('a Service whose port is led elsewhere stays so, and the session ends with who did it, without telling who answers', async () => {
  const its = await heldService();
  its.edit(to(8081));
  await its.see();
  assert.deepEqual([its.targets(), its.warnings()], [[8081], []]);
  const [{ error } = { error: undefined }, ...more] = its.ends;
  assert.deepEqual([error?.code, more], ['TARGET_REVERTED', []]);
  assert.equal(
    error?.message,
    'service/web has been changed by kubectl-patch while it was intercepted: port 80 goes to 8081 now, not to the agent; it went to 8080',
  );
  assert.match(error?.hint ?? '', /what listens on 8081 in the pods, if anything does: intercept again/);
});

test('one that is led elsewhere while it is set again is not said to be put back, nor set', async () => {
  const its = await heldService();
  its.edit(to(8080));
  its.raced.push(() => its.edit(to(8081), 'kubectl-edit'));
  await its.see();
  assert.deepEqual([its.targets(), its.warnings()], [[8081], []]);
  assert.match(its.ends[0]?.reason ?? '', /^service\/web has been changed by kubectl-edit .*port 80 goes to 8081 now/);
});

test('one that is put back again and again is left to the app, which is said to answer', async () => {
  const its = await heldService();
  for (let times = 0; times <= MAX_SET_AGAIN; times++) {
    its.edit(to(8080));
    await its.see();
  }
  assert.deepEqual([its.targets(), its.warnings().length], [[8080], MAX_SET_AGAIN]);
  assert.equal(
    its.ends[0]?.reason,
    'service/web has been put back by kubectl-patch while it was intercepted: the app answers',
  );
});

test('a port that nobody asked for may be led elsewhere: the session goes on', async () => {
  const admin = { name: 'admin', port: 81, protocol: 'TCP', targetPort: 9090 };
  const its = await heldService(rawService([...to(8080), admin]));
  const [pointed] = its.targets() ?? [];
  its.edit([...to(pointed ?? ''), { ...admin, targetPort: 9999 }]);
  await its.see();
  assert.deepEqual([its.targets(), its.warnings(), its.ends], [[pointed, 9999], [], []]);
});

test('where the agent has the app’s ports, one that is led elsewhere ends the session, and a name for the same port does not', async () => {
  const its = await heldService(web, { kind: 'replace' });
  its.edit(to('http'));
  await its.see();
  assert.deepEqual([its.warnings(), its.ends], [[], []]);
  its.edit(to(9090));
  await its.see();
  assert.deepEqual([its.targets(), its.warnings()], [[9090], []]);
  assert.match(its.ends[0]?.reason ?? '', /changed by kubectl-patch .*: port 80 goes to 9090 now, not to the agent/);
});
