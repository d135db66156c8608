import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { install } from '../../../cli/kube/apply.ts';
import { findInstalls } from '../../../cli/kube/inventory.ts';
import { AGENT_CONTAINER } from '../../../cli/kube/names.ts';
import { isPodReady, type Pod, type Service } from '../../../cli/kube/objects.ts';
import { portAlias } from '../../../cli/kube/plan-hold.ts';
import { restore } from '../../../cli/kube/restore.ts';
import { waitForRollout } from '../../../cli/kube/rollout.ts';
import { TWO_PODS_MS } from '../../support/test-namespace.ts';
import { Bench, clusterOrReason } from './installing.ts';

/** Two busy cores: kube-proxy may need more than a second to forget a pod. */
const SLOW_DRAIN = [{ name: 'DRAIN_MS', value: '4000' }];

const cluster = await clusterOrReason();

describe.skipIf(cluster === undefined)('install and restore on a real cluster', { timeout: TWO_PODS_MS }, () => {
  let bench: Bench;
  beforeAll(async () => {
    if (cluster !== undefined) bench = await Bench.open(cluster, 'kube-apply');
  });
  afterAll(async () => bench?.[Symbol.asyncDispose]());

  for (const kind of ['Deployment', 'StatefulSet'] as const)
    for (const ports of ['named', 'numeric', 'undeclared'] as const)
      test(`the agent passes traffic to the app of a ${kind} with ${ports} ports, and goes without a trace`, async () => {
        const name = `${kind.toLowerCase()}-${ports}`;
        const ref = await bench.deploy({ name, kind, ports, env: SLOW_DRAIN });
        const before = await bench.snapshot(ref);

        const installed = await bench.intercept(name);
        assert.equal(installed.reused, false);
        const ready = (await bench.namespace.livePods<Pod>(`${name}-`)).filter(isPodReady);
        assert.equal(ready.length, 2);
        assert.ok(ready.every((pod) => pod.spec.containers.some((container) => container.name === AGENT_CONTAINER)));
        const service = await bench.namespace.get<Service>(`service/${name}`);
        const [route] = installed.record.routes;
        assert.ok(route !== undefined);
        assert.equal(service.spec.ports?.[0]?.targetPort, ports === 'named' ? 'http' : portAlias(route));
        assert.deepEqual(await bench.call(name), { app: 20 });

        const found = await findInstalls(bench.client, bench.namespace.name);
        assert.deepEqual(
          found.map(({ ref: { kind: k, name: n }, install: { state }, retargetedService }) => [
            k,
            n,
            state,
            retargetedService,
          ]),
          [[kind, name, 'installed', ports === 'named' ? undefined : name]],
        );
        const again = await install(bench.client, await bench.request(name));
        assert.equal(again.reused, true);
        assert.deepEqual(again.credentials, installed.credentials);
        await waitForRollout(bench.client, ref, { deadlineMs: 5_000 });

        const steps: string[] = [];
        const result = await restore(bench.client, ref, { onProgress: ({ step }) => steps.push(step) });
        assert.equal(result.outcome, 'restored');
        assert.deepEqual(
          [...new Set(steps)],
          [...(ports === 'named' ? [] : ['service']), 'workload', 'rollout', 'cleaned'],
        );
        assert.deepEqual(await bench.snapshot(ref), before);
        assert.equal(await bench.leftovers(), '');
        assert.deepEqual(await bench.call(name), { app: 20 });
        assert.equal((await restore(bench.client, ref)).outcome, 'nothing');
        await bench.namespace.kubectl(['delete', kind, name, '--wait=false']);
      });
});
