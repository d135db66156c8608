import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService } from '../../../cli/kube/plan-service.ts';
import { type HandBackOutcome, handBack, STARTING_GRACE_MS } from '../../../cli/session/hand-back.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import type { InterceptorError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from '../../unit/kube/raw-objects.ts';
import { clientFor, sendJson, statusObject, wireServer } from '../kube/api-fixture.ts';

const web = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 8080 }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);
const request = installRequest(deployment, web);
const plan = planInstall(deployment, request, '2026-01-01T00:00:00Z');

const ref = { kind: 'Deployment', namespace: 'shop', name: 'web' } as const;
const identity = { sessionId: 's1', user: 'ann', host: 'laptop' };

/** What is told when the workload is as given at first, and gone then. */
async function told(workload: Workload | undefined): Promise<(string | undefined)[][]> {
  const pointed = planService(web, request, plan.record);
  const server = await wireServer((asked, response) => {
    const isService = asked.url?.includes('/services') === true;
    if (isService && asked.method === 'PATCH') sendJson(response, 200, web);
    else if (isService) sendJson(response, 200, { kind: 'ServiceList', metadata: {}, items: [pointed] });
    else if (asked.url?.includes('/deployments/web') === true && asked.method === 'GET' && workload !== undefined)
      sendJson(response, 200, workload);
    else sendJson(response, 404, statusObject(404, 'NotFound', 'gone'));
  });
  const events: SessionEvent[] = [];
  await handBack({
    client: await clientFor(server.url),
    ref,
    identity,
    ownSessions: [],
    keepAgent: false,
    takesOut: 'unused',
    statuses: [],
    report: (event) => events.push(event),
    log: silentLog,
  });
  return events.flatMap((event) => {
    if (event.event === 'restored') return [[event.event, event.workload]];
    return event.event === 'restoring' ? [[event.event, event.step]] : [];
  });
}

const SERVICE = [
  ['restoring', 'service/web'],
  ['restored', 'service/web'],
];

test('of a deleted workload the Service alone is said to be restored', async () => {
  assert.deepEqual(await told(undefined), SERVICE);
});

test('and so it is where the workload is deleted while it is restored', async () => {
  assert.deepEqual(await told(plan.workload.after), SERVICE);
});

/** A session leaves that has used a colleague's install, made so long ago, of which no pod is up. @returns what it tried to change */
async function leavesWhileItStarts(
  ageMs: number,
): Promise<{ outcome: HandBackOutcome | 'refused'; changes: string[] }> {
  const theirs = { ...request, installId: 'colleague', createdBy: { user: 'bob', host: 'desk' } };
  const { workload } = planInstall(deployment, theirs, new Date(Date.now() - ageMs).toISOString());
  const changes: string[] = [];
  const server = await wireServer((asked, response) => {
    if (asked.method !== 'GET') {
      changes.push(`${asked.method} ${asked.url?.split('?', 1)[0]}`);
      sendJson(response, 403, statusObject(403, 'Forbidden', 'not today'));
    } else if (asked.url?.includes('/deployments/web') === true) sendJson(response, 200, workload.after);
    else sendJson(response, 200, { kind: 'List', metadata: {}, items: [] });
  });
  const outcome = await handBack({
    client: await clientFor(server.url),
    ref,
    identity,
    ownSessions: [identity.sessionId],
    keepAgent: false,
    takesOut: 'unused',
    over: 'mine',
    report: () => {},
    log: silentLog,
  }).catch((error: InterceptorError) => {
    assert.equal(error.code, 'CLUSTER_REFUSED', error.message);
    return 'refused' as const;
  });
  return { outcome, changes };
}

test('a colleague’s install that rolls out is left to whoever looks again, and one that has come to nothing is taken out', async () => {
  assert.deepEqual(await leavesWhileItStarts(3_000), { outcome: 'unsure', changes: [] });
  assert.deepEqual(await leavesWhileItStarts(STARTING_GRACE_MS + 1_000), {
    outcome: 'refused',
    changes: ['PATCH /apis/apps/v1/namespaces/shop/deployments/web'],
  });
});
