import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { waitFor } from '../cluster/exec.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { clusterOrUndefined, Scene } from '../support/scene.ts';
import { APP_CODE } from '../support/workloads.ts';

const cluster = await clusterOrUndefined();

/** The app fills its emptyDir: a file, one for root alone, and (in `big`) a hole of 100 MiB. */
const FILLING_CODE = `
const fs = require('node:fs');
fs.writeFileSync('/var/data/state.json', '{"n":1}');
fs.writeFileSync('/var/data/run.sh', '#!/bin/sh\\n', { mode: 0o755 });
fs.writeFileSync('/var/data/root-only', 'secret', { mode: 0o600 });
if (process.env.BIG) { fs.writeFileSync('/var/data/big.bin', ''); fs.truncateSync('/var/data/big.bin', 100 * 1024 * 1024); }
if (process.env.MEDIUM) fs.writeFileSync('/var/data/medium.bin', Buffer.alloc(2 * 1024 * 1024));
${APP_CODE}`;

/** Prints where the copies are, then the contents of each path it is given on standard input (`>` writes), one JSON a line. */
const READER_CODE = `
const fs = require('node:fs');
const say = (value) => console.log(JSON.stringify(value));
say({ root: process.env.INTERCEPT_ROOT });
require('node:readline').createInterface({ input: process.stdin }).on('line', (path) => {
  try {
    if (path.startsWith('>')) fs.writeFileSync(path.slice(1), 'mine');
    say({ path, text: fs.readFileSync(path, 'utf8') });
  } catch (error) { say({ path, error: error.code }); }
});
process.on('SIGTERM', () => process.exit(0));
`;

const TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

const volumes = [
  { name: 'config', configMap: { name: 'settings' } },
  { name: 'secret', secret: { secretName: 'password' } },
  { name: 'data', emptyDir: {} },
  {
    name: 'projected',
    projected: { sources: [{ downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } }] },
  },
];
const volumeMounts = [
  { name: 'config', mountPath: '/etc/settings' },
  { name: 'config', mountPath: '/etc/one.yaml', subPath: 'one.yaml' },
  { name: 'secret', mountPath: '/etc/password', readOnly: true },
  { name: 'data', mountPath: '/var/data' },
  { name: 'projected', mountPath: '/etc/podinfo' },
];
const env = [
  { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
  { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
  { name: 'TEXT', value: "it's $5\nand two lines" },
];

describe.skipIf(cluster === undefined)('files and environment of the pod', () => {
  let scene: Scene;
  beforeAll(async () => {
    if (cluster === undefined) return;
    // The app is root: the agent, which is not, may not read all of its files.
    scene = await Scene.open(cluster, 'files', READER_CODE, { podSecurity: 'privileged' });
    await scene.namespace.apply([
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings' },
        data: { 'one.yaml': 'one: 1\n', 'two.yaml': 'two: 1\n' },
      },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'password' }, stringData: { password: 's3cret' } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'variables' }, data: { FROM_MAP: 'from the map' } },
    ]);
    const container = {
      volumeMounts,
      envFrom: [{ configMapRef: { name: 'variables' } }],
      resources: { limits: { cpu: '500m' } },
    };
    const common = { replicas: 1, code: FILLING_CODE, podSpec: { volumes } };
    await scene.deploy(
      { ...common, name: 'web', env, container },
      { ...common, name: 'big', env: [{ name: 'BIG', value: '1' }], container: { volumeMounts } },
      { ...common, name: 'medium', env: [{ name: 'MEDIUM', value: '1' }], container: { volumeMounts } },
    );
  });
  afterAll(async () => scene?.[Symbol.asyncDispose]());

  const start = (target: string, ...options: string[]): Promise<InterceptRun> =>
    startIntercept(scene.laptop, ['run', target, ...options, '--', 'node', scene.processFile], {
      namespace: scene.namespace,
    });

  const rootOf = async (run: InterceptRun): Promise<string> => {
    const line = await run.untilOutputMatch(/\{"root":.*\}/, 'where the copies are', 120_000);
    const { root } = JSON.parse(line) as { root?: string };
    assert.ok(root !== undefined, run.transcript);
    return root;
  };

  /** What the command itself reads there. */
  const ask = async (run: InterceptRun, path: string): Promise<{ text?: string; error?: string }> => {
    const from = run.stdout.length;
    run.child.stdin?.write(`${path}\n`);
    const answer = await waitFor(
      async () => {
        const [line] = run.stdout.slice(from).split('\n', 1);
        return line?.startsWith('{') && run.stdout.slice(from).includes('\n') ? line : undefined;
      },
      { timeoutMs: 20_000, onTimeout: () => new Error(`no answer for ${path}:\n${run.transcript}`) },
    );
    return JSON.parse(answer);
  };

  const changeSettings = async (value: string): Promise<void> => {
    const data = { 'one.yaml': `one: ${value}\n`, 'two.yaml': `two: ${value}\n` };
    await scene.namespace.kubectl(['patch', 'configmap', 'settings', '--patch', JSON.stringify({ data })]);
    // Wakes the kubelet, which otherwise looks once a minute.
    await scene.namespace.kubectl(['annotate', '--overwrite', 'pods', '-l', 'app=web', `test/at=${Date.now()}`]);
  };

  const end = async (run: InterceptRun): Promise<void> => {
    run.child.kill('SIGTERM');
    await run.exited;
  };

  test('are copied to $INTERCEPT_ROOT for the user alone, follow the pod, and go with the session', async () => {
    const run = await start('web', '--network', 'none', '--files-exclude', '*.sh');
    try {
      const root = await rootOf(run);
      const read = (path: string): Promise<string> => readFile(join(root, path), 'utf8');
      assert.equal(await read('/etc/settings/two.yaml'), 'two: 1\n');
      assert.equal(await read('/etc/one.yaml'), 'one: 1\n');
      assert.equal(await read('/etc/password/password'), 's3cret');
      assert.match(await read('/etc/podinfo/name'), /^web-/);
      assert.match(await read(TOKEN), /^ey[\w-]+\.[\w-]+\.[\w-]+$/);
      assert.equal(await read('/var/data/state.json'), '{"n":1}');
      assert.deepEqual(await readdir(join(root, 'var/data')), ['state.json']);
      const modes = ['', 'etc/password', 'etc/password/password'].map(async (path) => {
        const found = await stat(join(root, path));
        assert.equal(found.uid, scene.laptop.uid);
        return (found.mode & 0o777).toString(8);
      });
      assert.deepEqual(await Promise.all(modes), ['700', '700', '400']);
      const warned = run.events.find(
        (event) => event.event === 'warning' && event.message.includes('/var/data/root-only'),
      );
      assert.ok(warned !== undefined, run.transcript);

      await changeSettings('2');
      await waitFor(async () => ((await read('/etc/settings/two.yaml')) === 'two: 2\n' ? true : undefined), {
        timeoutMs: 150_000,
        onTimeout: () => new Error(`the change did not arrive:\n${run.transcript}`),
      });
      assert.equal(await read('/etc/settings/one.yaml'), 'one: 2\n');

      await end(run);
      assert.equal(existsSync(root), false, run.transcript);
    } finally {
      await end(run);
    }
  });

  test('the environment is what the kubelet resolved, from the agent as from the pod, in every format', async () => {
    const print = async (...options: string[]): Promise<string> => {
      const result = await runIntercept(scene.laptop, ['env', 'web', ...options], { namespace: scene.namespace });
      assert.equal(result.code, 0, result.stderr);
      return result.stdout;
    };
    const fromPod = JSON.parse(await print('--json'));
    const run = await start('web', '--network', 'none');
    try {
      const root = await rootOf(run);
      const fromAgent = JSON.parse(await print('--format', 'json'));
      assert.equal(fromAgent.INTERCEPT_ROOT, root);
      for (const { POD, CPU, TEXT, FROM_MAP, WEB_SERVICE_PORT } of [fromPod, fromAgent]) {
        assert.match(POD, /^web-/);
        assert.deepEqual(
          [CPU, TEXT, FROM_MAP, WEB_SERVICE_PORT],
          ['500', "it's $5\nand two lines", 'from the map', '80'],
        );
      }
      const script = `eval "$1"; printf '%s|%s|%s' "$CPU" "$TEXT" "$FROM_MAP"`;
      const values = execFileSync('sh', ['-c', script, 'sh', await print('--format', 'sh')], { encoding: 'utf8' });
      assert.equal(values, "500|it's $5\nand two lines|from the map");
    } finally {
      await end(run);
    }
  });

  test('after a kill -9 the guardian removes the copies', async () => {
    const run = await start('web', '--network', 'none');
    const root = await rootOf(run);
    assert.equal(existsSync(join(root, 'etc/password/password')), true);
    run.child.kill('SIGKILL');
    await waitFor(async () => (existsSync(root) ? undefined : true), {
      timeoutMs: 60_000,
      onTimeout: () => new Error('the copies are still there'),
    });
    await waitFor(async () => ((await scene.leftovers()) === '' ? true : undefined), {
      timeoutMs: 120_000,
      onTimeout: () => new Error('not restored'),
    });
  });

  test('more than is copied is an error where copies were asked for, else a warning; excluded it is neither', async () => {
    const refused = await start('big', '--network', 'none', '--files', 'copy');
    const error = await refused.until('error', 120_000);
    assert.equal(error.code, 'FILES_LIMIT');
    assert.match(error.message, /100\.0 MiB.*\/var\/data\/big\.bin/);
    assert.match(error.hint ?? '', /--files-exclude/);
    assert.equal((await refused.exited).code, 12, refused.transcript);
    const run = await start('big', '--network', 'none', '--files-exclude', '/var/data/*.bin');
    try {
      assert.equal(await readFile(join(await rootOf(run), 'var/data/state.json'), 'utf8'), '{"n":1}');
    } finally {
      await end(run);
    }
  });

  test('a full disk is an error that says so and leaves nothing', async () => {
    const disk = join(scene.laptop.home, 'small-disk');
    await mkdir(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
    try {
      await chown(disk, scene.laptop.uid, scene.laptop.uid);
      execFileSync('chmod', ['700', disk]);
      const args = ['run', 'medium', '--network', 'none', '--files', 'copy', '--', 'node', scene.processFile];
      const run = await startIntercept(scene.laptop, args, {
        namespace: scene.namespace,
        env: { XDG_RUNTIME_DIR: disk },
      });
      const error = await run.until('error', 120_000);
      assert.equal(error.code, 'FILES_NOT_WRITTEN', run.transcript);
      assert.match(error.message, /the disk is full \(ENOSPC\)/);
      assert.equal((await run.exited).code, 12, run.transcript);
      const left = await readdir(disk, { recursive: true });
      assert.deepEqual(left, ['kube-intercept']);
    } finally {
      execFileSync('umount', ['-l', disk]);
    }
  });

  test('in namespace mode they are at their own paths, too, read-only', async () => {
    const run = await start('web', '--network', 'namespace');
    try {
      await rootOf(run);
      assert.deepEqual(await ask(run, '/etc/password/password'), { path: '/etc/password/password', text: 's3cret' });
      assert.match((await ask(run, TOKEN)).text ?? '', /^ey/);
      assert.match((await ask(run, '/etc/one.yaml')).text ?? '', /^one: \d\n$/);
      for (const path of ['>/etc/password/password', '>/etc/settings/new'])
        assert.deepEqual(await ask(run, path), { path, error: 'EROFS' });

      await changeSettings('three');
      await waitFor(
        async () => ((await ask(run, '/etc/settings/two.yaml')).text === 'two: three\n' ? true : undefined),
        { timeoutMs: 150_000, onTimeout: () => new Error(`the change did not arrive:\n${run.transcript}`) },
      );
    } finally {
      await end(run);
    }
  });

  test('a shell that takes intercept env while a session has a proxy port is inside, too', async () => {
    const run = await start('web', '--network', 'proxy');
    try {
      const root = await rootOf(run);
      const { stdout } = await runIntercept(scene.laptop, ['env', 'web', '--format', 'sh'], {
        namespace: scene.namespace,
      });
      const script = 'eval "$0"; echo "$INTERCEPT_ROOT"; exec curl -sS --max-time 20 http://web/hello';
      const result = await scene.laptop.run(['sh', '-c', script, stdout]);
      const [where, answer] = result.stdout.split('\n');
      assert.equal(where, root);
      assert.match(answer ?? '', /^app web-\S+ GET \/hello/, result.stderr);
    } finally {
      await end(run);
    }
  });
});
