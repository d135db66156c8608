import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, startLaptop } from '../support/laptop.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';

const cluster = await clusterOrUndefined();

/** A workload that no Service leads to, with a mounted ConfigMap. */
function worker(image: string): unknown[] {
  const labels = { app: 'worker' };
  const container = {
    name: 'app',
    image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', '-e', 'setInterval(() => {}, 1e9); process.on("SIGTERM", () => process.exit())'],
    env: [{ name: 'QUEUE', value: 'orders' }],
    volumeMounts: [{ name: 'config', mountPath: '/etc/worker' }],
  };
  const spec = { containers: [container], volumes: [{ name: 'config', configMap: { name: 'worker' } }] };
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'worker' }, data: { 'a.yaml': 'a: 1\n' } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'worker' },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
  ];
}

describe.skipIf(cluster === undefined)('a command that stands inside without taking traffic', () => {
  let scene: Scene;
  let colleague: Laptop;
  beforeAll(async () => {
    if (cluster === undefined) return;
    [scene, colleague] = await Promise.all([Scene.open(cluster, 'run'), startLaptop(cluster, { user: 'games' })]);
    await scene.namespace.apply(worker(cluster.nodeImage));
    await scene.deploy({ name: 'web', replicas: 1 });
    await scene.namespace.rolledOut('deployment/worker');
  });
  afterAll(async () => {
    await colleague?.dispose();
    await scene?.[Symbol.asyncDispose]();
  });

  const run = (args: readonly string[], laptop: Laptop = scene.laptop): Promise<InterceptRun> =>
    startIntercept(laptop, args, { namespace: scene.namespace });
  const ownPods = async (): Promise<string> =>
    await scene.namespace.kubectl(['get', 'pods', '-l', 'app.kubernetes.io/managed-by=kube-intercept', '-o', 'name']);
  /** Waits until nothing of ours is in the namespace: pods take their time to be gone. */
  const untilNothingIsLeft = (): Promise<true> =>
    waitFor(async () => ((await ownPods()) === '' && (await scene.leftovers()) === '' ? true : undefined), {
      timeoutMs: 180_000, // an old kubelet takes half a minute and more to let a pod go that never ran
      onTimeout: () => new Error('something is left in the namespace'),
    });
  const copies = (): Promise<string[]> =>
    readdir(join(scene.laptop.home, '.local/state/kube-intercept/files')).catch(() => []); // never made

  test('in a workload without a Service it has environment, files and names of the pod, and its exit code', async () => {
    const before = await scene.snapshot('deployment/worker');
    const script = 'echo $QUEUE; cat $INTERCEPT_ROOT/etc/worker/a.yaml; curl -s http://web/inside; exit 7';
    const session = await run(['run', 'deploy/worker', '--', 'sh', '-c', script]);
    const { code } = await session.exited;
    assert.match(session.stdout, /^orders\na: 1\napp web-\S+ GET \/inside 0\n$/, session.transcript);
    assert.equal(code, 7, session.transcript);
    assert.ok(!session.events.some(({ event }) => event === 'retargeted'), session.transcript);
    assert.deepEqual(await scene.snapshot('deployment/worker'), before);
    assert.deepEqual(await copies(), []);
    await untilNothingIsLeft();
  });

  test('without a workload it has a pod of its own, with the service account that was asked for', async () => {
    const script = 'curl -s http://web/own; cat $INTERCEPT_ROOT/var/run/secrets/kubernetes.io/serviceaccount/token';
    const session = await run(['run', '--as', 'robot', '--', 'sh', '-c', script]);
    assert.equal((await session.exited).code, 0, session.transcript);
    const [answer = '', token = ''] = session.stdout.split('\n');
    assert.match(answer, /^app web-\S+ GET \/own 0$/, session.transcript);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    assert.match(claims.sub, /:robot$/);
    await untilNothingIsLeft();
  });

  test('a shell tells its prompt where it stands, and its exit code is ours', async () => {
    const shell = await runIntercept(scene.laptop, ['shell'], {
      namespace: scene.namespace,
      input: 'echo "[$INTERCEPT_CONTEXT]"; curl -s http://web/shell; exit 3\n',
    });
    assert.equal(shell.code, 3, shell.stderr);
    assert.match(shell.stdout, /^\[pod\]\napp web-\S+ GET \/shell 0\n$/);
    await untilNothingIsLeft();
  });

  test('connect as an ordinary user names sudo; as a proxy it leads inside until Ctrl-C', async () => {
    const refused = await runIntercept(scene.laptop, ['connect'], { namespace: scene.namespace });
    assert.equal(refused.code, 11, refused.stderr);
    assert.match(refused.stderr, /code: LAPTOP_NEEDS_ROOT/);

    const session = await run(['connect', '--network', 'proxy']);
    try {
      await session.until('ready');
      const { variables = {} } = await session.until('network');
      const { NODE_OPTIONS: _, ...env } = variables;
      const answer = await scene.laptop.run(['curl', '-s', 'http://web/proxy'], { env });
      assert.match(answer.stdout, /^app web-\S+ GET \/proxy 0$/m, session.transcript);
    } finally {
      session.child.kill('SIGINT');
    }
    assert.equal((await session.exited).code, 130, session.transcript);
    await untilNothingIsLeft();
  });

  test('it joins the agent of a colleague’s intercept, which stays until the last of them has ended', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const process = ['--port', '3000', '--env', 'WHO=laptop', '--env', 'PORT=3000', '--', 'node', scene.processFile];
    const intercept = await run(['web', ...process]);
    await intercept.until('ready', 120_000);
    const joined = await run(['run', 'web', '--', 'sleep', '1000'], colleague);
    try {
      await joined.until('ready');
      assert.ok(
        joined.events.some(({ event }) => event === 'agent-present'),
        joined.transcript,
      );
      assert.deepEqual((await scene.call('web')).by, { laptop: 20 }, intercept.transcript);
      intercept.child.kill('SIGTERM');
      await intercept.exited;
      assert.ok(
        intercept.events.some(({ event }) => event === 'agent-kept'),
        intercept.transcript,
      );
      assert.deepEqual((await scene.call('web')).by, { app: 20 }, joined.transcript);
    } finally {
      joined.child.kill('SIGTERM');
    }
    assert.equal((await joined.exited).code, 143, joined.transcript);
    assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
    await untilNothingIsLeft();
  });

  test('after a kill -9 the pod, the copies of its files and the command are gone', async () => {
    const session = await run(['run', '--', 'sh', '-c', 'echo "pid $$"; exec sleep 1000']);
    await session.until('ready');
    await session.untilOutput('pid ');
    assert.notDeepEqual(await copies(), []);
    session.child.kill('SIGKILL');
    await session.exited;
    await untilNothingIsLeft();
    await waitFor(async () => ((await copies()).length === 0 ? true : undefined), {
      timeoutMs: 30_000,
      onTimeout: () => new Error('copies of files are left'),
    });
    const pid = /pid (\d+)/.exec(session.stdout)?.[1] ?? '';
    await assert.rejects(readFile(`/proc/${pid}/stat`), { code: 'ENOENT' }, 'the command runs on');
  });

  test.each([1, 300, 600, 900, 1200, 1500])('Ctrl-C %i ms into the start leaves nothing', async (ms) => {
    const session = await run(['run', '--', 'sleep', '1000']);
    const startedAtMs = Date.now();
    const timer = setTimeout(() => session.child.kill('SIGINT'), ms);
    const { code, signal } = await session.exited;
    const tookMs = Date.now() - startedAtMs;
    clearTimeout(timer);
    assert.ok(tookMs < 20_000, `${tookMs} ms\n${session.transcript}`);
    assert.ok(code === 130 || signal === 'SIGINT', session.transcript);
    await untilNothingIsLeft();
    assert.deepEqual(await copies(), []);
  });

  test('it runs where PodSecurity is restricted', async () => {
    const { metadata } = await scene.namespace.get<{ metadata: { labels: Record<string, string> } }>(
      `namespace/${scene.namespace.name}`,
    );
    assert.equal(metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
    const session = await run(['run', '--', 'true']);
    assert.equal((await session.exited).code, 0, session.transcript);
    await untilNothingIsLeft();
  });

  test.each([
    ['a full quota', [], 3, 'CLUSTER_REFUSED', /exceeded quota/],
    ['a namespace without rights', ['-n', 'default'], 3, 'CLUSTER_FORBIDDEN', /may not create pods/],
    ['no such service account', ['--as', 'nosuch'], 5, 'TARGET_NOT_FOUND', /no service account "nosuch"/],
    [
      'an image that is not there',
      ['--agent-image', 'registry.invalid/x'],
      7,
      'AGENT_IMAGE_UNAVAILABLE',
      /registry.invalid/,
    ],
  ] as const)('%s is told in the cluster’s words, and nothing is left', async (what, options, exitCode, code, text) => {
    const quota = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'full' },
      spec: { hard: { pods: '1' } },
    };
    if (what === 'a full quota') {
      await scene.namespace.apply(quota);
      await scene.namespace.quotaInForce('full');
    }
    try {
      const session = await run(['run', ...options, '--', 'true']);
      assert.equal((await session.exited).code, exitCode, session.transcript);
      const error = session.events.at(-1);
      assert.ok(error?.event === 'error', session.transcript);
      assert.equal(error.code, code);
      assert.match(error.message, text);
    } finally {
      await scene.namespace.kubectl(['delete', 'resourcequota', 'full', '--ignore-not-found']);
    }
    await untilNothingIsLeft();
  });

  test('bad options are refused before anything is asked of the cluster', async () => {
    const cases: readonly (readonly string[])[] = [
      ['run', 'web'],
      ['run', 'web', '--as', 'robot', '--', 'true'],
      ['run', '--network', 'none', '--egress', 'cluster', '--', 'true'],
      ['run', '--local-cidr', '10.0.0.0/40', '--', 'true'],
      ['run', '--dns-local', 'a..b', '--', 'true'],
      ['run', '--files', 'off', '--files-exclude', '/x', '--', 'true'],
      ['shell', '--', 'true'],
      ['connect', '--network', 'none'],
      ['web', '--network', 'namespace'],
      ['web', '--egress', 'cluster'],
    ];
    for (const args of cases) {
      const result = await runIntercept(scene.laptop, args, { namespace: scene.namespace });
      assert.equal(result.code, 2, `${args.join(' ')}\n${result.stderr}`);
      assert.match(result.stderr, /code: USAGE_BAD_(OPTION|PORT)/);
    }
  });
});
