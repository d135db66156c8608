import assert from 'node:assert/strict';
import { test } from 'vitest';
import type { Workload } from '../../../cli/kube/objects.ts';
import { planInstall } from '../../../cli/kube/plan-install.ts';
import { planService } from '../../../cli/kube/plan-service.ts';
import { handBack } from '../../../cli/session/hand-back.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import { silentLog } from '../../../src/log.ts';
import { installRequest, rawContainer, rawService, rawWorkload } from '../../unit/kube/raw-objects.ts';
import { clientFor, sendJson, statusObject, wireServer } from '../kube/api-fixture.ts';

const web = rawService([{ name: 'web', port: 80, protocol: 'TCP', targetPort: 8080 }]);
const deployment = rawWorkload('Deployment', [rawContainer()]);
const request = installRequest(deployment, web);
const plan = planInstall(deployment, request, '2026-01-01T00:00:00Z');

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
    ref: { kind: 'Deployment', namespace: 'shop', name: 'web' },
    identity: { sessionId: 's1', user: 'ann', host: 'laptop' },
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
