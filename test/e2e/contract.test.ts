import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { InterceptRun, installedCli, runIntercept, startIntercept } from '../support/intercept-run.ts';
import type { LaptopResult } from '../support/laptop.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE, APP_PORT, withoutServerMetadata } from '../support/workloads.ts';

// In one file: all of it runs on one deployed scene, which takes longer than most of these tests.
const cluster = await clusterOrUndefined();

/** The app of `two` listens on a second port, too. */
const TWO_PORTS_CODE = `${APP_CODE}
http.createServer((request, response) => response.end('admin app\\n')).listen(8081);
`;
const TWO_PORTS = {
  ports: [
    { name: 'web', port: 80, targetPort: 'http' },
    { name: 'admin', port: 81, targetPort: 8081 },
  ],
} as const;

interface Versioned {
  readonly metadata: { readonly generation?: number };
}

describe.skipIf(cluster === undefined)('intercept without a command', () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    scene = await Scene.open(cluster, 'contract');
    await scene.deploy(
      { name: 'web', replicas: 1 },
      { name: 'two', replicas: 1, code: TWO_PORTS_CODE, service: TWO_PORTS },
      { name: 'db', replicas: 1, kind: 'StatefulSet' },
    );
    // the node's proxy, which may just have started, has to hear of them
    await waitFor(async () => ((await scene.call('web')).by.app === 20 ? true : undefined), {
      timeoutMs: 60_000,
      onTimeout: () => new Error('the app does not answer'),
    });
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  /** Runs a command to its end; Node must not have said a word. */
  const cli = async (...args: string[]): Promise<LaptopResult> => {
    const result = await runIntercept(scene.laptop, args, { namespace: scene.namespace, timeoutMs: 120_000 });
    assert.doesNotMatch(result.stderr, /\(node:\d+\)|Warning:/);
    return result;
  };
  const startProcess = (port: number, env: Record<string, string> = {}): InterceptRun =>
    new InterceptRun(
      scene.laptop.spawn([process.execPath, scene.processFile], {
        env: { PORT: String(port), WHO: 'laptop', DRAIN_MS: '0', ...env },
      }),
      'stdout',
    );
  const end = async (run: InterceptRun): Promise<void> => {
    run.child.kill('SIGTERM');
    await run.exited;
  };

  test('follows the process: waits for one that starts later, falls back to the app when it stops, and ends with Ctrl-C', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const run = await startIntercept(scene.laptop, ['svc/web', '--port', '3000', '--http'], {
      namespace: scene.namespace,
    });
    try {
      await run.until('not-listening', 120_000);
      assert.deepEqual((await scene.call('web')).by, { app: 20 });

      const first = startProcess(3000);
      await run.until('ready');
      assert.deepEqual((await scene.call('http://web/some/path?q=1')).by, { laptop: 20 });
      const request = await run.until('request'); // without the query: it may hold secrets
      assert.deepEqual([request.method, request.path, request.status], ['GET', '/some/path', 200]);

      await end(first);
      const gone = (): number => run.events.filter((event) => event.event === 'not-listening').length;
      await run.untilMatch(() => gone() === 2, 'second not-listening');
      const fallenBack = await scene.call('web');
      assert.deepEqual([fallenBack.by, fallenBack.failures], [{ app: 20 }, []]);

      const second = startProcess(3000);
      await run.untilMatch(() => run.events.at(-1)?.event === 'listening', 'listening again');
      assert.deepEqual((await scene.call('web')).by, { laptop: 20 });
      await end(second);
    } finally {
      run.child.kill('SIGINT');
    }
    assert.deepEqual(await run.exited, { code: 130, signal: null }, run.transcript);
    assert.deepEqual(run.otherLines, []);
    assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
  });

  test('--detach returns when ready; status, list, kubectl intercept and leave know the session; --to names another address', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const server = startProcess(3456, { LISTEN_HOST: '127.0.0.9' });
    try {
      const detached = await cli('deploy/web', '--port', '3001', '--to', '127.0.0.9:3456', '--detach');
      assert.equal(detached.code, 0, detached.stderr);
      assert.match(detached.stderr, /ready in .*127\.0\.0\.9:3456/);
      assert.equal(detached.stdout, '');
      assert.deepEqual((await scene.call('web')).by, { laptop: 20 });

      const [session, ...others] = JSON.parse((await cli('status', '--json')).stdout);
      assert.deepEqual(others, []);
      assert.equal(session.state, 'ready');
      assert.equal(session.workload, 'deployment/web');
      assert.equal(session.pods.length, 1);
      assert.equal(session.ports[0].routedTo, 'laptop');
      assert.match((await cli('status')).stdout, /deployment\/web .*ready[\s\S]*this laptop answers/);

      const list = await cli('list', '--json');
      const [row] = JSON.parse(list.stdout);
      assert.equal(row.workload, 'deployment/web', list.stdout);
      assert.equal(row.state, 'intercepted');
      assert.match(row.holders[0], new RegExp(`^${scene.laptop.user}@`));
      assert.match((await cli('list')).stdout, /^WORKLOAD .*\ndeployment\/web /);

      const everywhere = await cli('list', '-A', '--json');
      const refusal = JSON.parse(everywhere.stdout);
      assert.deepEqual([everywhere.code, refusal.code], [3, 'CLUSTER_FORBIDDEN'], everywhere.stdout);
      assert.match(refusal.message, /list/);
      assert.match(refusal.message, /deployments|statefulsets|services/);

      assert.match(await kubectlIntercept(scene, ['list']), /^WORKLOAD .*\ndeployment\/web /);

      const left = await cli('leave', 'deploy/web');
      assert.equal(left.code, 0, left.stderr);
      assert.equal((await cli('status')).stdout, 'no sessions on this laptop\n');
      assert.equal((await cli('list')).stdout, `nothing is intercepted in ${scene.namespace.name}\n`);
      assert.deepEqual((await scene.call('web')).by, { app: 20 });
      assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
      const again = await cli('leave', 'deploy/web');
      assert.equal(again.code, 9, again.stderr);
    } finally {
      await cli('leave', '--all'); // nothing to do, unless an assertion failed
      await end(server);
    }
  });

  test('takes several ports of a Service, named and numeric, each to its own process', async () => {
    const before = await scene.snapshot('deployment/two', 'service/two');
    const servers = [startProcess(3002), startProcess(3003, { WHO: 'second' })];
    const run = await startIntercept(scene.laptop, ['two', '--port', '3002:80', '--port', '3003:admin'], {
      namespace: scene.namespace,
    });
    try {
      const ready = await run.until('ready', 120_000);
      assert.deepEqual(
        ready.ports.map(({ local, servicePort, servicePortName, appPort }) => [
          local,
          servicePort,
          servicePortName,
          appPort,
        ]),
        [
          ['127.0.0.1:3002', 80, 'web', APP_PORT],
          ['127.0.0.1:3003', 81, 'admin', 8081],
        ],
      );
      assert.deepEqual((await scene.call('two')).by, { laptop: 20 });
      assert.deepEqual((await scene.call('http://two:81/')).by, { second: 20 });
    } finally {
      run.child.kill('SIGINT');
      await run.exited;
      await Promise.all(servers.map(end));
    }
    assert.deepEqual((await scene.call('two')).by, { app: 20 });
    assert.deepEqual((await scene.call('http://two:81/')).by, { admin: 20 });
    assert.deepEqual(await scene.snapshot('deployment/two', 'service/two'), before);
  });

  test('--dry-run prints the diff of every object and changes none, for each way to name a target', async () => {
    const versions = async (): Promise<string[]> =>
      await Promise.all(
        ['deployment/two', 'service/two', 'statefulset/db', 'service/db'].map(
          // no resourceVersion: a controller that writes a status changes it, too
          async (resource) => {
            const object = await scene.namespace.get<Versioned>(resource);
            return JSON.stringify([object.metadata.generation, withoutServerMetadata(object)]);
          },
        ),
      );
    const before = [await versions(), await scene.leftovers()];
    for (const [target, workload] of [
      ['svc/two', 'deployment/two'],
      ['deploy/two', 'deployment/two'],
      ['sts/db', 'statefulset/db'],
    ] as const) {
      const port = workload === 'deployment/two' ? '3000:81' : '3000';
      const result = await cli(target, '--port', port, '--dry-run');
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stderr, new RegExp(`found ${workload}`));
      assert.match(result.stdout, new RegExp(`^--- \\S*${workload}$[\\s\\S]*^\\+.*name: kube-intercept-agent$`, 'm'));
      assert.equal(/^--- \S*service\/two$/m.test(result.stdout), workload === 'deployment/two', result.stdout);
    }
    for (const [mode, says, changes] of [
      [['--replace'], /takes container app out/, /^-\s+- name: app$/m],
      [['--capture', 'redirect'], /init container kube-intercept-redirect/, /^\+.*name: kube-intercept-redirect$/m],
    ] as const) {
      const result = await cli('sts/db', '--port', '3000', ...mode, '--dry-run');
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stdout, says);
      assert.match(result.stdout, changes);
    }
    assert.deepEqual([await versions(), await scene.leftovers()], before);
  });

  test('an --env-file that cannot be written is refused with the hint that fits, with --dry-run too, and the user’s own stays', async () => {
    const own = join(scene.laptop.home, 'own.env');
    await writeFile(own, 'MINE=1\n', { mode: 0o644 });
    const before = await scene.snapshot('deployment/web', 'service/web');
    for (const [file, message, hint] of [
      [own, /exists and is not ours/, /a file that does not exist yet/],
      [join(scene.laptop.home, 'none', '.env'), /there is no folder/, /mkdir -p '.*none'/],
      ['/etc/kube-intercept.env', /no permission \(EACCES\)/, /folder that you may write to/],
    ] as const)
      for (const options of [['--dry-run'], []]) {
        const result = await cli('web', '--port', '3000', '--env-file', file, ...options);
        assert.equal(result.code, 2, result.stderr);
        assert.match(result.stderr, message);
        assert.match(result.stderr, hint);
        assert.doesNotMatch(result.stderr, /found|patched/);
      }
    assert.equal(await readFile(own, 'utf8'), 'MINE=1\n');
    assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
  });

  test('a command whose port is taken is refused before anything is changed, and the owner is named', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const code = "require('node:net').createServer().listen(3004, '127.0.0.1', () => console.log('listening'))";
    const other = new InterceptRun(scene.laptop.spawn([process.execPath, '-e', code]), 'stderr');
    try {
      await other.untilOutput('listening');
      const result = await cli('web', '--port', '3004', '--network', 'proxy', '--', 'node', scene.processFile);
      assert.equal(result.code, 2, result.stderr);
      assert.ok(
        result.stderr.includes(`port 3004 on this laptop is in use already by pid ${other.child.pid} (node)`),
        result.stderr,
      );
      assert.match(result.stderr, /leave out the command/);
      assert.doesNotMatch(result.stderr, /patched/);
      assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
    } finally {
      await end(other);
    }
  });

  test('in namespace mode the port is the command’s own: taken on the laptop or privileged, it gets the callers', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const code = `require('node:http').createServer((q, r) => r.end('stranger')).listen(3006, '127.0.0.1', () => console.log('listening'))`;
    const stranger = new InterceptRun(scene.laptop.spawn([process.execPath, '-e', code]), 'stderr');
    try {
      await stranger.untilOutput('listening');
      for (const port of ['3006', '80']) {
        const own = ['--env', 'WHO=laptop', '--env', `PORT=${port}`, '--env', 'DRAIN_MS=0'];
        const run = await startIntercept(
          scene.laptop,
          ['web', '--port', port, '--network', 'namespace', ...own, '--', 'node', scene.processFile],
          { namespace: scene.namespace },
        );
        try {
          await run.until('ready', 120_000);
          assert.deepEqual((await scene.call('web')).by, { laptop: 20 }, run.transcript);
          const { message } = await run.until('warning');
          assert.match(message, port === '80' ? /:80, which needs more rights/ : /:3006, which somebody else has/);
        } finally {
          await end(run);
        }
      }
      assert.deepEqual(await scene.snapshot('deployment/web', 'service/web'), before);
    } finally {
      await end(stranger);
    }
  });

  test('in namespace mode a process that is started by hand on the laptop gets the callers while the command does not listen', async () => {
    const run = await startIntercept(
      scene.laptop,
      ['web', '--port', '3007', '--network', 'namespace', '--', 'sleep', 'infinity'],
      { namespace: scene.namespace },
    );
    try {
      await run.until('waiting', 120_000);
      const byHand = startProcess(3007);
      await run.until('ready');
      assert.deepEqual((await scene.call('web')).by, { laptop: 20 }, run.transcript);
      await end(byHand);
    } finally {
      await end(run);
    }
  });

  test('killed with kill -9, leaves no file with the pod’s environment', async () => {
    const before = await scene.snapshot('deployment/web', 'service/web');
    const envFile = join(scene.laptop.home, '.env');
    const written = async (): Promise<boolean> =>
      await stat(envFile).then(
        () => true,
        () => false, // ENOENT
      );
    const run = await startIntercept(scene.laptop, ['web', '--port', '3005', '--env-file', envFile], {
      namespace: scene.namespace,
    });
    try {
      await run.until('not-listening', 120_000);
      assert.ok(await written(), run.transcript);
    } finally {
      run.child.kill('SIGKILL');
      await run.exited;
    }
    await waitFor(async () => ((await written()) ? undefined : true), {
      timeoutMs: 10_000,
      onTimeout: () => new Error('the file is still there'),
    });
    await scene.untilRestored(['deployment/web', 'service/web'], before);
  });
});

/** `kubectl intercept …`: kubectl and a link named kubectl-intercept on the PATH, as npm makes it. @returns its stdout */
async function kubectlIntercept(scene: Scene, args: readonly string[]): Promise<string> {
  const bin = join(scene.laptop.home, 'bin');
  await mkdir(bin);
  await chmod(bin, 0o755);
  await symlink(await installedCli(), join(bin, 'kubectl-intercept'));
  const path = [bin, dirname(scene.cluster.kubectlProgram), dirname(process.execPath), '/usr/bin', '/bin'].join(':');
  const env = { PATH: path, KUBECONFIG: await scene.laptop.kubeconfig(scene.namespace) };
  const result = await scene.laptop.run(['kubectl', 'intercept', ...args], { env });
  assert.deepEqual([result.code, result.stderr], [0, '']);
  return result.stdout;
}
