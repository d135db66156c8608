import assert from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import type { SessionEvent } from '../../cli/ui/events.ts';
import { RestoreScene, START_MS } from '../support/restore-scene.ts';
import { clusterOrUndefined } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

describe.skipIf(cluster === undefined)('Ctrl-C during the start', () => {
  let its: RestoreScene;
  beforeAll(async () => {
    if (cluster !== undefined) its = await RestoreScene.open(cluster, 'starting', 1);
  });
  afterEach(async () => its?.endRuns());
  afterAll(async () => its?.[Symbol.asyncDispose]());

  const STAGES: readonly SessionEvent['event'][] = ['found', 'patched', 'rollout', 'connected', 'command-started'];
  for (const stage of STAGES)
    test(`restores everything (at "${stage}")`, async () => {
      const run = await its.start('web');
      await run.until(stage, START_MS);
      run.child.kill('SIGINT');
      const { code, signal } = await run.exited;
      // Before anything is asked of the cluster the signal ends it as it does any program; a started command's code is its own.
      const ended = signal ?? code;
      assert.ok(
        ended === 130 || (ended === 'SIGINT' && stage === 'found') || stage === 'command-started',
        run.transcript,
      );
      assert.ok(!run.events.some(({ event }) => event === 'error'), run.transcript);
      await its.assertRestored(run.transcript);
      await its.assertNothingOn(its.scene.laptop);
    });

  test('restores everything (while the command does not listen yet)', async () => {
    const run = await its.start('web', { command: ['--', 'node', '-e', 'setInterval(() => {}, 1000)'] });
    await run.until('waiting', START_MS);
    await run.untilMatch((event) => event.event === 'rollout' && event.ready === 1, 'rollout', START_MS);
    run.child.kill('SIGINT');
    await run.exited;
    await its.assertRestored(run.transcript);
    await its.assertNothingOn(its.scene.laptop);
  });

  test('restores everything whatever request to the cluster it meets', async () => {
    for (const delayMs of [10, 30, 60, 100, 160]) {
      const run = await its.start('web');
      await run.until('found', START_MS);
      await new Promise((resolve) => setTimeout(resolve, delayMs)); // which request that meets is up to the machine
      run.child.kill('SIGINT');
      await run.exited;
      await its.assertRestored(`Ctrl-C ${delayMs} ms after "found"\n${run.transcript}`);
      await its.assertNothingOn(its.scene.laptop);
    }
  });
});
