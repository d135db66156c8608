import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { janitorManifest } from '../../cli/commands/janitor.ts';
import { waitFor } from '../cluster/exec.ts';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { guardianOn, untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();
const JANITOR = 'deployment/kube-intercept-janitor';
/** The agents' 30 s without a session, 10 s between two looks, a rollout; generous, as the machine may be slow. */
const RESTORED_MS = 180_000;

describe.skipIf(cluster === undefined)('the janitor, with the rights of its manifest alone', () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'janitor');
    await scene.deploy({ name: 'web', replicas: 1, ports: 'numeric' });
    // As people do: applied as it is printed, nothing built or pulled but the Node image.
    await cluster.kubectl(['apply', '--namespace', scene.namespace.name, '-f', '-'], {
      input: await janitorManifest(cluster.nodeImage),
    });
    await scene.namespace.rolledOut(JANITOR);
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  const log = async (): Promise<string> => await scene.namespace.kubectl(['logs', JANITOR]);

  test('restores what session and guardian left, killed together, and deletes what belongs to nobody', async () => {
    const { namespace, laptop } = scene;
    const objects = ['deployment/web', 'service/web'] as const;
    const before = await scene.snapshot(...objects);
    const options = ['--port', '3000', '--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', '-e', APP_CODE];
    const run = await startIntercept(laptop, ['web', ...options], { namespace });
    await run.until('ready', 120_000);
    const command = await run.until('command-started');
    assert.deepEqual((await scene.call('web', 10)).by, { laptop: 10 });
    process.kill(await guardianOn(laptop), 'SIGKILL');
    const killedAtMs = Date.now();
    run.child.kill('SIGKILL');
    process.kill(command.pid, 'SIGKILL'); // nobody is left to do it
    await run.exited;
    await untilNoProcess(laptop);

    await waitFor(async () => ((await log()).includes('"message":"restored"') ? true : undefined), {
      timeoutMs: RESTORED_MS,
      intervalMs: 1_000,
      onTimeout: () => new Error('the janitor has not restored'),
    }).catch(async (error: unknown) => assert.fail(`${String(error)}\n${await log()}`));
    console.log(`restored by the janitor ${Math.round((Date.now() - killedAtMs) / 1000)} s after the kill -9`);
    assert.deepEqual(await scene.snapshot(...objects), before, await log());
    assert.equal(await scene.leftovers(), '', await log());
    assert.deepEqual((await scene.call('web', 10)).by, { app: 10 });
    assert.ok(!(await log()).includes('"level":"warn"'), await log());
  });
});
