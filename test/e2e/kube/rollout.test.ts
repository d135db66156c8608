import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { install } from '../../../cli/kube/apply.ts';
import type { InstallRequest } from '../../../cli/kube/plan.ts';
import { restore } from '../../../cli/kube/restore.ts';
import { waitForRollout } from '../../../cli/kube/rollout.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { POD_GONE_MS } from '../../support/test-namespace.ts';
import { Bench, clusterOrReason } from './installing.ts';

const cluster = await clusterOrReason();

describe.skipIf(cluster === undefined)('a rollout that cannot work, on a real cluster', () => {
  let bench: Bench;
  beforeAll(async () => {
    if (cluster !== undefined) bench = await Bench.open(cluster, 'kube-rollout');
  });
  afterAll(async () => bench?.[Symbol.asyncDispose]());

  /** Installs, expects the rollout to fail, restores, and expects the objects to be as before. */
  async function failure(
    kind: 'Deployment' | 'StatefulSet',
    name: string,
    over: Partial<InstallRequest['agent']>,
    meddle: () => Promise<unknown> = async () => {},
  ): Promise<InterceptorError> {
    const ref = await bench.deploy({ name, kind });
    const before = await bench.snapshot(ref);
    await meddle();
    const installed = await install(bench.client, await bench.request(name, over));
    const { generation } = installed.workload.metadata;
    const error = await waitForRollout(bench.client, ref, { generation, deadlineMs: POD_GONE_MS }).then(
      () => assert.fail('rolled out'),
      (thrown: unknown) => thrown,
    );
    await restore(bench.client, ref, { deadlineMs: POD_GONE_MS });
    assert.deepEqual(await bench.snapshot(ref), before);
    assert.equal(await bench.leftovers(), '');
    assert.ok(error instanceof InterceptorError);
    return error;
  }

  for (const kind of ['Deployment', 'StatefulSet'] as const) {
    test(`an agent image that cannot be pulled is named, and the ${kind} is put back`, async () => {
      const error = await failure(kind, `image-${kind.toLowerCase()}`, { image: 'nosuch.invalid/agent:1' });
      assert.equal(error.code, 'AGENT_IMAGE_UNAVAILABLE');
      assert.match(error.message, /nosuch\.invalid\/agent:1/);
      assert.match(error.hint ?? '', /--agent-image/);
    });

    test(`an agent that ends at once is told with its last lines, and the ${kind} is put back`, async () => {
      const code = 'console.error("agent says no"); process.exit(3);';
      const error = await failure(kind, `crash-${kind.toLowerCase()}`, { code });
      assert.equal(error.code, 'ROLLOUT_FAILED');
      assert.match(error.message, /kube-intercept-agent.*exit code 3/);
      assert.match(error.message, /agent says no/);
    });
  }

  test('a quota that refuses the pod is quoted', async () => {
    const error = await failure('Deployment', 'quota', {}, async () => {
      await bench.namespace.kubectl(['create', 'quota', 'tight', '--hard=limits.memory=1Mi']);
      await bench.namespace.quotaInForce('tight');
    });
    await bench.namespace.kubectl(['delete', 'quota', 'tight']);
    assert.equal(error.code, 'ROLLOUT_FAILED');
    assert.match(error.message, /quota/);
  });
});
