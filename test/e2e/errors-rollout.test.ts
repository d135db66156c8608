import assert from 'node:assert/strict';
import { describe, type TestContext, test as vitestTest } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type TestCluster, useCluster } from '../support/cluster.ts';
import { startDenier } from '../support/denying-webhook.ts';
import { readDeveloperRole } from '../support/developer-role.ts';
import { FailingBench } from '../support/failing-run.ts';
import { service, sleeper } from '../support/failing-workloads.ts';
import type { InterceptRun } from '../support/intercept-run.ts';
import { createUser, type Rule, type TestKubeconfig } from '../support/test-user.ts';

const found = await useCluster();

/** Not run, with the reason, where there is no cluster. Each has a namespace and a laptop of its own. */
function test(name: string, body: (bench: FailingBench, cluster: TestCluster) => Promise<void>): void {
  vitestTest.concurrent(name, async (context: TestContext) => {
    if ('notRun' in found) return context.skip(found.notRun);
    await using bench = await FailingBench.open(found, 'rollout');
    await body(bench, found);
  });
}

/** A few words of a pod, as the cluster has them. */
interface PodStatus {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly state: { readonly waiting?: { readonly reason?: string } };
    }[];
  };
}

const AGENT = 'kube-intercept-agent';
const READY = { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 };

/** One ready pod that answers on 8080, and its Service. */
async function deployWeb(bench: FailingBench, shape: Parameters<typeof sleeper>[2] = {}): Promise<void> {
  const code =
    "require('http').createServer((q, s) => s.end('ok')).listen(8080); process.on('SIGTERM', () => process.exit())";
  const container = { command: ['node', '-e', code], readinessProbe: READY, ...shape.container };
  await bench.namespace.apply([sleeper(bench.cluster.nodeImage, 'web', { ...shape, container }), service('web')]);
  await bench.namespace.rolledOut('deployment/web', 120_000);
}

const listen = ['--', 'node', '-e', "require('http').createServer((q, s) => s.end('me')).listen(3000, '127.0.0.1')"];

/** How long after the cluster knew something the run said it: the first event that matches, against `knownAtMs`. */
function saidAfterMs(run: InterceptRun, matches: RegExp, knownAtMs: number): number {
  const index = run.events.findIndex((event) => matches.test(JSON.stringify(event)));
  assert.ok(index >= 0, `nothing matches ${matches}:\n${run.transcript}`);
  return (run.receivedAtMs[index] ?? 0) - knownAtMs;
}

/** When `known` first held, to a tenth of a second or what kubectl takes. */
async function whenKnown(known: () => Promise<boolean>, what: string): Promise<number> {
  return await waitFor(async () => ((await known()) ? Date.now() : undefined), {
    timeoutMs: 60_000,
    onTimeout: () => new Error(`the cluster never knew ${what}`),
  });
}

describe('an intercept that cannot come about takes itself back', () => {
  test('an agent image that cannot be pulled is named within 5 s of the kubelet knowing it', async (bench) => {
    await deployWeb(bench);
    const before = await bench.snapshot();
    const startedAt = performance.now();
    const run = await bench.start(['web', '--port', '3000', '--agent-image', '127.0.0.1:1/none:1', ...listen]);
    const knownAtMs = await whenKnown(async () => {
      const { items } = await bench.namespace.get<{ items: PodStatus[] }>('pods');
      const waiting = items.flatMap(({ status }) => status.containerStatuses ?? []).find(({ name }) => name === AGENT);
      return /Err|Back/.test(waiting?.state.waiting?.reason ?? '') || run.child.exitCode !== null;
    }, 'that the image cannot be pulled');
    const failure = await bench.failed(run, startedAt, 120_000);
    assert.equal(failure.code, 'AGENT_IMAGE_UNAVAILABLE');
    assert.match(failure.message, /the agent's image "127\.0\.0\.1:1\/none:1" cannot be pulled: .+/);
    assert.match(failure.hint, /--agent-image/);
    const lateMs = saidAfterMs(
      run,
      /127\.0\.0\.1:1\/none:1.*(ErrImagePull|ImagePullBackOff|cannot be pulled|refused)/,
      knownAtMs,
    );
    assert.ok(lateMs < 5000, `${lateMs} ms:\n${run.transcript}`);
    assert.deepEqual(await bench.snapshot(), before, run.transcript);
    await bench.expectNothingLeft(run);
  });

  test('a ResourceQuota without room for the agent is named in its own words', async (bench) => {
    await deployWeb(bench, {
      container: { resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { cpu: '1', memory: '64Mi' } } },
    });
    const quota = { hard: { 'limits.memory': '100Mi' } };
    await bench.namespace.apply({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'tight' }, spec: quota });
    await whenKnown(
      async () => JSON.stringify(await bench.namespace.get('resourcequota/tight')).includes('"used"'),
      'the quota',
    );
    const failure = await refusedRollout(bench);
    assert.match(failure.message, /exceeded quota: tight, requested: limits\.memory=320Mi/);
    assert.match(failure.hint, /make room/);
  });

  test('a LimitRange that the agent does not fit into is named in its own words', async (bench) => {
    await deployWeb(bench, {
      container: { resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { cpu: '1', memory: '64Mi' } } },
    });
    const limits = [{ type: 'Container', max: { memory: '100Mi' } }];
    await bench.namespace.apply({
      apiVersion: 'v1',
      kind: 'LimitRange',
      metadata: { name: 'small' },
      spec: { limits },
    });
    const failure = await refusedRollout(bench);
    assert.match(failure.message, /maximum memory usage per Container is 100Mi, but limit is 256Mi/);
    assert.match(failure.hint, /make room/);
  });

  test('a webhook that refuses the pods, and one that refuses the patch, are quoted', async (bench) => {
    await deployWeb(bench);
    await using denier = await startDenier(bench.namespace, bench.cluster.nodeImage);
    await denier.deny('pods');
    const failure = await refusedRollout(bench);
    assert.match(failure.message, /no sidecars on Fridays/);
    assert.match(failure.hint, /webhook/);
    await denier.deny('deployments');
    const refused = await bench.fail(['web', '--port', '3000', ...listen]);
    assert.equal(refused.code, 'CLUSTER_REFUSED');
    assert.match(
      refused.message,
      /PATCH \S+\/deployments\/web: admission webhook .* denied the request: no sidecars on Fridays/,
    );
    assert.match(refused.hint, /webhook/);
  });

  test('PodSecurity restricted, which the agent passes, refuses --capture redirect by name, with the way out', async (bench) => {
    await deployWeb(bench);
    const failure = await refusedRollout(bench, ['--capture', 'redirect']);
    assert.match(failure.message, /violates PodSecurity "restricted:\w+": .*container "kube-intercept-redirect"/);
    assert.doesNotMatch(failure.message, /"(app|kube-intercept-agent)"/);
    assert.match(failure.hint, /does not allow NET_ADMIN, which --capture redirect needs: use --replace/);
  });

  test('an app that does not start again is put back, and its last words are shown', async (bench) => {
    const settings = (mode: string): unknown => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'settings' },
      data: { mode },
    });
    await bench.namespace.apply(settings('good'));
    const code = `if (process.env.MODE !== 'good') { console.error('settings: no such mode: ' + process.env.MODE); process.exit(3); }
      require('http').createServer((q, s) => s.end('ok')).listen(8080); process.on('SIGTERM', () => process.exit());`;
    const valueFrom = { configMapKeyRef: { name: 'settings', key: 'mode' } };
    await deployWeb(bench, { container: { command: ['node', '-e', code], env: [{ name: 'MODE', valueFrom }] } });
    await bench.namespace.apply(settings('bad'));
    const failure = await bench.fail(['web', '--port', '3000', ...listen], { timeoutMs: 150_000 });
    assert.equal(failure.code, 'ROLLOUT_FAILED');
    assert.match(
      failure.message,
      /deployment\/web cannot be rolled out: web-\S+: container app: CrashLoopBackOff: ended with exit code 3/,
    );
    assert.match(failure.message, /its last lines:\n {2}settings: no such mode: bad$/);
    assert.match(failure.hint, /the workload is put back.*kubectl describe pod web-/);
    assert.ok(!failure.run.events.some(({ event }) => event === 'ready'), failure.run.transcript);
  });

  test('a pod that finds no node is reported in the scheduler’s words within 5 s, and Ctrl-C takes it all back', async (bench) => {
    const terms = [{ labelSelector: { matchLabels: { app: 'web' } }, topologyKey: 'kubernetes.io/hostname' }];
    const node = JSON.parse(await bench.cluster.kubectl(['get', 'nodes', '-o', 'json'])).items[0].metadata.name;
    const spec = {
      nodeSelector: { 'kubernetes.io/hostname': node },
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } },
    };
    await deployWeb(bench, { spec });
    const before = await bench.snapshot();
    const run = await bench.start(['web', '--port', '3000', ...listen]);
    const knownAtMs = await whenKnown(
      async () =>
        JSON.stringify(await bench.namespace.get('pods')).includes('"Unschedulable"') || run.child.exitCode !== null,
      'that the pod finds no node',
    );
    const waiting = await run.untilMatch(
      (event) => event.event === 'rollout' && /Unschedulable: .*affinity/.test(event.waitingFor ?? ''),
      'rollout event with the scheduler’s words',
      30_000,
    );
    assert.ok(saidAfterMs(run, /Unschedulable/, knownAtMs) < 5000, `${JSON.stringify(waiting)}\n${run.transcript}`);
    assert.equal(await run.interrupt(), 130, run.transcript);
    assert.deepEqual(await bench.snapshot(), before, run.transcript);
    await bench.expectNothingLeft(run);
  });
});

describe('the command', () => {
  test('that does not listen in time is ended, and the address it was to listen on is named', async (bench) => {
    await deployWeb(bench);
    const args = ['web', '--port', '3000', '--listen-timeout', '3', '--', 'sleep', '1000'];
    const before = await bench.snapshot();
    const startedAt = performance.now();
    const run = await bench.start(args);
    await run.until('command-started', 120_000);
    assert.equal(await bench.learnSecrets(), 1, run.transcript);
    const failure = await bench.failed(run, startedAt, 120_000);
    assert.equal(failure.code, 'PROCESS_NOT_LISTENING');
    assert.match(failure.message, /the command has not listened on 127\.0\.0\.1:3000 within 3 s/);
    assert.match(failure.hint, /--port <local>.*--listen-timeout/);
    assert.deepEqual(await bench.snapshot(), before, run.transcript);
    await bench.expectNothingLeft(run);
  });

  test('that ends before it listens ends the intercept with its own exit code', async (bench) => {
    await deployWeb(bench);
    const before = await bench.snapshot();
    const run = await bench.start(['web', '--port', '3000', '--', 'sh', '-c', 'echo cannot start; exit 5']);
    assert.equal(await bench.ended(run, 120_000), 5, run.transcript);
    const leaving = run.events.find((event) => event.event === 'leaving');
    assert.equal(leaving?.reason, 'the command exited with code 5', run.transcript);
    assert.equal(run.stdout, 'cannot start\n');
    assert.ok(!run.events.some(({ event }) => event === 'error' || event === 'ready'), run.transcript);
    bench.expectDiscreet(run);
    assert.deepEqual(await bench.snapshot(), before, run.transcript);
    await bench.expectNothingLeft(run);
  });
});

/** What a session needs, without the ways to the agent. */
/** All that a developer has, but for the ways to the agents. */
const WAYS = ['pods/proxy', 'pods/portforward'];
const RIGHTS: readonly Rule[] = (await readDeveloperRole()).rules.filter(
  ({ resources }) => !resources.some((resource) => WAYS.includes(resource)),
);
const FORWARD: Rule = { apiGroups: [''], resources: ['pods/portforward'], verbs: ['get', 'create'] };

function withToken(token: string): (config: TestKubeconfig) => TestKubeconfig {
  return (config) => ({ ...config, users: config.users.map(({ name }) => ({ name, user: { token } })) });
}

describe('a user', () => {
  test('without the right to pods/proxy reaches the agents by port-forward', async (bench, cluster) => {
    await deployWeb(bench);
    const token = await createUser(cluster, bench.namespace, 'forwarder', [...RIGHTS, FORWARD]);
    const before = await bench.snapshot();
    const run = await bench.start(['web', '--port', '3000', ...listen], { kubeconfig: withToken(token) });
    const ready = await run.until('ready', 120_000);
    assert.equal(ready.pods, 1);
    assert.equal((await run.until('connected')).carrier, 'port-forward', run.transcript);
    assert.equal(await bench.learnSecrets(), 1);
    run.child.kill('SIGTERM');
    await bench.ended(run, 90_000);
    bench.expectDiscreet(run);
    assert.deepEqual(await bench.snapshot(), before, run.transcript);
    await bench.expectNothingLeft(run);
  });

  test('without any way to the agents is told both rights, one of which is enough', async (bench, cluster) => {
    await deployWeb(bench);
    const token = await createUser(cluster, bench.namespace, 'nowhere', RIGHTS);
    const options = { kubeconfig: withToken(token), timeoutMs: 120_000 };
    const failure = await bench.fail(['web', '--port', '3000', ...listen], options);
    assert.equal(failure.code, 'CLUSTER_FORBIDDEN');
    assert.match(failure.message, /:nowhere" may not (get|create) pods\/proxy in namespace "rollout-/);
    assert.match(failure.message, /:nowhere" may not (get|create) pods\/portforward in namespace "rollout-/);
    assert.match(failure.hint, /one of them is enough.*resources \["pods\/proxy"\], verbs \["\w+"\]/);
    assert.ok(!failure.run.events.some(({ event }) => event === 'command-started'), failure.run.transcript);
  });
});

/** An intercept whose pods the namespace refuses: rolled back by itself, and told within 5 s of the refusal's event. */
async function refusedRollout(
  bench: FailingBench,
  options: readonly string[] = [],
): ReturnType<FailingBench['failed']> {
  const before = await bench.snapshot();
  const startedAt = performance.now();
  const run = await bench.start(['web', '--port', '3000', ...options, ...listen]);
  const knownAtMs = await whenKnown(async () => {
    const { items } = await bench.namespace.get<{ items: { reason?: string }[] }>('events');
    return items.some(({ reason }) => reason === 'FailedCreate') || run.child.exitCode !== null;
  }, 'that pods cannot be created');
  const failure = await bench.failed(run, startedAt, 120_000);
  assert.equal(failure.code, 'ROLLOUT_FAILED');
  assert.match(failure.message, /^deployment\/web cannot be rolled out: FailedCreate: /);
  const lateMs = saidAfterMs(run, /FailedCreate/, knownAtMs);
  assert.ok(lateMs < 5000, `${lateMs} ms:\n${run.transcript}`);
  assert.deepEqual(await bench.snapshot(), before, run.transcript);
  await bench.expectNothingLeft(run);
  return failure;
}
