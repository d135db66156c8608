import assert from 'node:assert/strict';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';
import { type WrkReport, WrkRun } from '../support/wrk.ts';

const cluster = await clusterOrUndefined();
const canRun = cluster?.toolsImage !== undefined; // wrk is in the tools image

const AT_LEAST_MS = 30_000;
const LOAD = { connections: 16, pauseMs: 10 } as const;
/** The process says so once it has answered this many requests. */
const MILESTONE = 1000;
/** Longer than the node needs to tell kube-proxy under load: with 1 s a plain `kubectl rollout restart` loses requests here, too. */
const DRAIN = { name: 'DRAIN_MS', value: '3000' };
/** A busy node's kubelet would end the app by it, whoever calls. */
const container = { livenessProbe: undefined };
const PROCESS_CODE = `${APP_CODE}
let answered = 0;
server.on('request', () => { if (++answered === ${MILESTONE}) console.log('milestone'); });
`;

describe.skipIf(!canRun)('callers on kept connections', () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'zero-loss', PROCESS_CODE);
    await scene.deploy(
      { name: 'named', ports: 'named', env: [DRAIN], container },
      { name: 'numeric', ports: 'numeric', env: [DRAIN], container },
    );
    await Promise.all(['named', 'numeric'].map((name) => scene.untilAnswered(name)));
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  for (const ports of ['named', 'numeric'] as const)
    test(`lose no request while an intercept with ${ports} ports comes and goes`, async () => {
      const load = new WrkRun(scene.caller, `http://${ports}/`, LOAD);
      const run = await startIntercept(
        scene.laptop,
        [ports, '--port', '3000', '--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', scene.processFile],
        { namespace: scene.namespace },
      );
      let report: WrkReport;
      try {
        await run.until('ready', 120_000);
        await run.untilOutput('milestone', 60_000);
      } finally {
        run.child.kill('SIGTERM');
        await run.exited; // restored, old pods gone
        report = await load.stop(AT_LEAST_MS);
      }
      const shown = `${JSON.stringify(report)}\n${run.transcript}`;
      console.log(`${ports}: ${JSON.stringify(report)}`);
      const none = { connect: 0, read: 0, write: 0, status: 0, timeout: 0 };
      assert.deepEqual(report.errors, none, shown);
      assert.deepEqual(Object.keys(report.by).sort(), ['app', 'laptop'], shown);
      assert.ok((report.by.laptop ?? 0) >= MILESTONE, shown);
      assert.deepEqual(run.otherLines, []); // nor a word from Node
    });
});
