import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';
import { runWrk } from '../support/wrk.ts';

const cluster = await clusterOrUndefined();
const canRun = cluster?.toolsImage !== undefined; // wrk is in the tools image

const SECONDS = 30;
const LOAD = { seconds: SECONDS, connections: 16, pauseMs: 10 } as const;
/** The process says so once it has answered this many requests. */
const MILESTONE = 1000;
const PROCESS_CODE = `${APP_CODE}
let answered = 0;
server.on('request', () => { if (++answered === ${MILESTONE}) console.log('milestone'); });
`;

describe.skipIf(!canRun)('callers on kept connections', () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'zero-loss', PROCESS_CODE);
    await scene.deploy({ name: 'named', ports: 'named' }, { name: 'numeric', ports: 'numeric' });
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  for (const ports of ['named', 'numeric'] as const)
    test(`lose no request while an intercept with ${ports} ports comes and goes`, async () => {
      let wrkRuns = true;
      const load = runWrk(scene.caller, `http://${ports}/`, LOAD).finally(() => {
        wrkRuns = false;
      });
      load.catch(() => {}); // awaited below
      const run = await startIntercept(
        scene.laptop,
        [ports, '--port', '3000', '--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', scene.processFile],
        { namespace: scene.namespace },
      );
      let whole = false;
      try {
        await run.until('ready', 120_000);
        await run.untilOutput('milestone', 60_000);
      } finally {
        run.child.kill('SIGTERM');
        await run.exited;
        whole = wrkRuns;
      }
      const report = await load;
      const shown = `${JSON.stringify(report)}\n${run.transcript}`;
      console.log(`${ports}: ${JSON.stringify(report)}`);
      const none = { connect: 0, read: 0, write: 0, status: 0, timeout: 0 };
      assert.deepEqual(report.errors, none, shown);
      assert.deepEqual(Object.keys(report.by).sort(), ['app', 'laptop'], shown);
      assert.ok((report.by.laptop ?? 0) >= MILESTONE, shown);
      assert.ok(whole, `wrk ended before the intercept did; take more than ${SECONDS} s\n${shown}`);
    });
});
