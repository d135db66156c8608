import assert from 'node:assert/strict';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { filesOn, guardianOn, untilNoProcess } from '../support/traces.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();
const START_MS = 120_000;
const TRACKED = { 'argocd.argoproj.io/tracking-id': 'shop:apps/Deployment:ns/web' };

interface Manifest {
  metadata: Record<string, unknown> & { annotations?: Record<string, string> };
  spec: Record<string, unknown>;
}

describe.skipIf(cluster === undefined)('an intercepted workload that somebody else writes to', () => {
  let scene: Scene;
  const runs: InterceptRun[] = [];
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'gitops');
    await scene.deploy({ name: 'web', replicas: 1, ports: 'numeric' }, { name: 'api', replicas: 1 });
    await scene.namespace.kubectl(['annotate', 'deployment/web', 'service/web', argument(TRACKED)]);
  });
  afterEach(async () => {
    for (const run of runs.splice(0)) {
      if (run.child.exitCode !== null || run.child.signalCode !== null) continue;
      run.child.kill('SIGINT');
      await run.exited;
    }
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  const start = async (target: string, ...options: string[]): Promise<InterceptRun> => {
    const own = [...options, '--port', '3000', '--env', 'WHO=laptop', '--env', 'PORT=3000', '--env', 'DRAIN_MS=0'];
    const run = await startIntercept(scene.laptop, [target, ...own, '--', 'node', '-e', APP_CODE], scene);
    runs.push(run);
    return run;
  };

  /** Without kubectl's own copy of the manifest, which a replace renews. */
  const snapshot = async (): Promise<string> => {
    const objects = await scene.snapshot('deployment/web', 'service/web');
    return JSON.stringify(objects, (key, value: unknown) =>
      key === 'kubectl.kubernetes.io/last-applied-configuration' ? undefined : value,
    );
  };

  /** The object as a repository would hold it. */
  const manifest = async (resource: string): Promise<Manifest> => {
    const object = await scene.namespace.get<Manifest & { status?: unknown }>(resource);
    const { status: _, ...rest } = object;
    const { managedFields, resourceVersion, uid, generation, creationTimestamp, ...metadata } = rest.metadata;
    return { ...rest, metadata };
  };

  /** As Argo CD with Replace=true puts an object back. */
  const putBack = async (object: Manifest, manager = 'argocd-controller'): Promise<void> => {
    await scene.namespace.kubectl(['replace', `--field-manager=${manager}`, '-f', '-'], {
      input: JSON.stringify(object),
    });
  };

  test('is warned of by a dry run as by a session, on stderr or as an event before the plan', async () => {
    const annotate = (suffix: string): Promise<string> =>
      scene.namespace.kubectl(['label', 'deployment/api', 'service/api', `kustomize.toolkit.fluxcd.io/name${suffix}`]);
    await annotate('=apps');
    const flux = /annotate deployment\/api service\/api -n \S+ kustomize\.toolkit\.fluxcd\.io\/reconcile=disabled/;
    for (const [target, expected] of [
      ['web', /belong to Argo CD \(application "shop"\)[\s\S]*managedFieldsManagers: \[kube-intercept\]/],
      ['api', flux],
    ] as const) {
      const { stderr, stdout, code } = await runIntercept(scene.laptop, [target, '--port', '3000', '--dry-run'], scene);
      assert.equal(code, 0, stderr);
      assert.match(stderr, expected);
      assert.doesNotMatch(stdout, /belong to/);
    }
    const inside = await runIntercept(scene.laptop, ['run', 'deploy/api', '--dry-run', '--json', '--', 'true'], scene);
    const events = inside.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; message?: string });
    assert.deepEqual(
      events.map(({ event }) => event),
      ['found', 'warning', 'plan'],
    );
    assert.match(events[1]?.message ?? '', /^deployment\/api belongs to Flux/);
    await annotate('-');
  });

  test('by Argo CD ends with who did it and what to set, the Service back at once, the app answering', async () => {
    const before = await snapshot();
    const desired = await manifest('deployment/web');
    const run = await start('web');
    await run.until('ready', START_MS);
    const warned = run.events.find((event) => event.event === 'warning' && event.message.includes('Argo CD'));
    assert.ok(
      warned?.event === 'warning' && warned.message.includes('managedFieldsManagers: [kube-intercept]'),
      run.transcript,
    );
    await putBack(desired);
    const error = await run.until('error', 60_000);
    assert.equal(error.code, 'TARGET_REVERTED');
    assert.match(error.message, /^deployment\/web has been put back by argocd-controller/);
    assert.match(error.hint ?? '', /managedFieldsManagers: \[kube-intercept\]/);
    assert.equal((await run.exited).code, 13, run.transcript);
    const back = run.events.findIndex((event) => event.event === 'restoring' && event.step === 'service/web');
    const ended = run.events.findIndex(({ event }) => event === 'error');
    assert.ok(back >= 0 && back < ended, run.transcript);
    const tally = await scene.call('web', 20);
    assert.deepEqual([tally.by, tally.failures], [{ app: 20 }, []]);
    assert.deepEqual(await snapshot(), before, run.transcript);
    assert.equal(await scene.leftovers(), '');
    await untilNoProcess(scene.laptop);
    assert.deepEqual(await filesOn(scene.laptop), []);
  });

  test('by Argo CD when session and guardian are dead has its Service back with the next run of anybody', async () => {
    const before = await snapshot();
    const desired = await manifest('deployment/web');
    const run = await start('web');
    await run.until('ready', START_MS);
    const command = await run.until('command-started');
    process.kill(await guardianOn(scene.laptop), 'SIGKILL');
    run.child.kill('SIGKILL');
    process.kill(command.pid, 'SIGKILL');
    await run.exited;
    await putBack(desired);
    await scene.namespace.rolledOut('deployment/web');
    const next = await start('api');
    const isBack = (event: (typeof next.events)[number]): boolean =>
      event.event === 'recovered' && event.workload === 'service/web';
    await next.untilMatch(isBack, 'service/web back', START_MS);
    // the node's proxy has to hear of it
    await waitFor(async () => ((await scene.call('web', 20)).by.app === 20 ? true : undefined), {
      timeoutMs: START_MS,
      onTimeout: () => new Error(`the app does not answer\n${next.transcript}`),
    });
    assert.equal(await next.interrupt(), 0, next.transcript);
    await waitFor(async () => ((await scene.leftovers()) === '' ? true : undefined), {
      timeoutMs: 60_000,
      onTimeout: () => new Error(`ConfigMap or Secret is left\n${next.transcript}`),
    });
    assert.deepEqual(await snapshot(), before, next.transcript);
  });

  test('by kubectl apply goes on: what it put back is set again, what it changed stays and is shown at the end', async () => {
    const run = await start('api');
    await run.until('ready', START_MS);
    const applied = await scene.namespace.get<Manifest>('deployment/api');
    const desired = JSON.parse(
      applied.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '',
    ) as Manifest;
    await scene.namespace.apply([{ ...desired, spec: { ...desired.spec, revisionHistoryLimit: 7 } }]);
    const told = (event: (typeof run.events)[number]): boolean =>
      event.event === 'warning' && event.message.includes('it is set again');
    await run.untilMatch(told, 'the template set again', 60_000);
    await waitFor(async () => ((await scene.call('api', 10)).by.laptop === 10 ? true : undefined), {
      timeoutMs: START_MS,
      onTimeout: () => new Error(`the traffic does not come back\n${run.transcript}`),
    });
    assert.equal(await run.interrupt(), 0, run.transcript);
    const kept = await run.until('kept');
    assert.equal(kept.object, 'deployment/api');
    assert.match(kept.diff, /^-\s+revisionHistoryLimit: 10$/m);
    assert.match(kept.diff, /^\+\s+revisionHistoryLimit: 7$/m);
    assert.ok(!kept.diff.includes('ki-'), kept.diff);
    const after = JSON.stringify(await scene.snapshot('deployment/api', 'service/api'));
    assert.ok(!after.includes('kube-intercept') && !after.includes('ki-http'), after);
    assert.ok(after.includes('"revisionHistoryLimit":7'), after);
  });

  test('whose Service is edited has it pointed at the agent again, and ends when the Service is deleted', async () => {
    await scene.namespace.kubectl([
      'annotate',
      'deployment/web',
      'service/web',
      ...Object.keys(TRACKED).map((key) => `${key}-`),
    ]);
    const service = await manifest('service/web');
    const run = await start('web');
    await run.until('ready', START_MS);
    const patch = [{ op: 'replace', path: '/spec/ports/0/targetPort', value: 8080 }];
    await scene.namespace.kubectl(['patch', 'service', 'web', '--type=json', '-p', JSON.stringify(patch)]);
    const told = (event: (typeof run.events)[number]): boolean =>
      event.event === 'warning' &&
      /^service\/web has been put back by kubectl-\w+; it is pointed at the agent again/.test(event.message);
    await run.untilMatch(told, 'the Service pointed again', 60_000);
    await waitFor(async () => ((await scene.call('web', 10)).by.laptop === 10 ? true : undefined), {
      timeoutMs: 60_000,
      onTimeout: () => new Error(`the traffic does not come back\n${run.transcript}`),
    });
    await scene.namespace.kubectl(['delete', 'service', 'web']);
    assert.equal((await run.exited).code, 0, run.transcript);
    assert.equal((await run.until('leaving')).reason, 'service/web was deleted');
    assert.ok(!JSON.stringify(await scene.snapshot('deployment/web')).includes('kube-intercept'), run.transcript);
    assert.equal(await scene.leftovers(), '');
    await scene.namespace.apply([service]);
  });

  test('whose Service is led to another port ends, which is not said to be put back, and stays', async () => {
    const run = await start('web');
    await run.until('ready', START_MS);
    await scene.namespace.kubectl([
      'patch',
      'service',
      'web',
      '-p',
      '{"spec":{"ports":[{"port":80,"targetPort":8081}]}}',
    ]);
    const error = await run.until('error', 60_000);
    assert.equal(error.code, 'TARGET_REVERTED');
    assert.match(
      error.message,
      /^service\/web has been changed by kubectl-patch .*: port 80 goes to 8081 now, not to the agent/,
    );
    assert.equal((await run.exited).code, 13, run.transcript);
    assert.doesNotMatch(run.transcript, /put back|pointed at the agent again|the app answers"/);
    assert.equal((await run.until('kept')).object, 'service/web');
    const service = JSON.stringify(await scene.snapshot('service/web'));
    assert.ok(service.includes('"targetPort":8081') && !service.includes('kube-intercept'), service);
    assert.equal(await scene.leftovers(), '');
  });

  test('whose Service is led to another port ends, too, where the agent has the app’s place', async () => {
    const led = async (targetPort: number, by: string): Promise<void> => {
      const patch = JSON.stringify([{ op: 'replace', path: '/spec/ports/0/targetPort', value: targetPort }]);
      await scene.namespace.kubectl(['patch', 'service', 'web', '--type=json', '-p', patch, `--field-manager=${by}`]);
    };
    await led(8080, 'before');
    const before = await scene.snapshot('deployment/web');
    const run = await start('web', '--replace');
    await run.until('ready', START_MS);
    await led(8081, 'colleague');
    const error = await run.until('error', 60_000);
    assert.equal(error.code, 'TARGET_REVERTED');
    assert.match(error.message, /^service\/web has been changed by colleague .*: port 80 goes to 8081 now/);
    assert.equal((await run.exited).code, 13, run.transcript);
    assert.deepEqual(await scene.snapshot('deployment/web'), before);
    assert.equal(await scene.leftovers(), '');
  });

  test('whose namespace is deleted ends, and nothing is left on the laptop', async () => {
    // Asks for the namespace while the right to is there: the session will, and may find it gone (see refused-requests.ts).
    assert.equal((await runIntercept(scene.laptop, ['none', '--dry-run'], scene)).code, 5);
    const run = await start('api');
    await run.until('ready', START_MS);
    await scene.namespace.kubectl(['delete', 'namespace', scene.namespace.name, '--wait=false']);
    const { code } = await run.exited;
    assert.equal(code, 0, run.transcript);
    // The namespace may have taken the right to ask for it before.
    assert.match(
      (await run.until('leaving')).reason,
      /^namespace "\S+" was deleted, and (deployment|service)\/api with it$|was deleted, and all rights in namespace/,
    );
    assert.ok(!run.events.some(({ event }) => event === 'restored'), run.transcript);
    await untilNoProcess(scene.laptop);
    assert.deepEqual(await filesOn(scene.laptop), []);
  });
});

function argument(annotations: Record<string, string>): string {
  return Object.entries(annotations)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}
