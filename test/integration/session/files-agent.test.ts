import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { ControlClient } from '../../../cli/session/control-client.ts';
import { startFiles } from '../../../cli/session/files/files.ts';
import { type CopiedFiles, FILES_LIMITS, type FilesTunnel } from '../../../cli/session/files/types.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log.ts';
import { sessionHandshake } from '../../../src/mux/handshake.ts';
import { Mux } from '../../../src/mux/mux.ts';
import { until } from '../../support/until.ts';
import { type AgentWorld, startWorld } from '../agent/support/agent-world.ts';
import { dialCarrier } from '../agent/support/session-double.ts';
import { SourceDouble } from './pod-files.ts';

let folder: string;
let world: AgentWorld;
let tunnels: FilesTunnel[];
let files: CopiedFiles | undefined;
let warnings: string[];
const before = { XDG_STATE_HOME: process.env.XDG_STATE_HOME, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR };

/** The agent with volumes of a test below `pod`: a ConfigMap as the kubelet lays it out, an emptyDir, a subPath file, a token. */
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'kube-intercept-test-')));
  [tunnels, warnings, files] = [[], [], undefined];
  process.env.XDG_STATE_HOME = join(folder, 'state');
  delete process.env.XDG_RUNTIME_DIR;
  await swapConfig({ 'a.yaml': 'a: 1\n', 'b.yaml': 'b: 1\n' });
  await mkdir(pod('volumes/var/data/deep'), { recursive: true });
  await writeFile(pod('volumes/var/data/deep/x.bin'), Buffer.alloc(700_000, 7));
  await writeFile(pod('volumes/etc/one.conf'), 'one');
  await mkdir(pod('secrets/kubernetes.io/serviceaccount'), { recursive: true });
  await writeFile(pod('secrets/kubernetes.io/serviceaccount/token'), 'token 1');
  const points = [
    'volumes/etc/config',
    'volumes/var/data',
    'volumes/etc/one.conf',
    'secrets/kubernetes.io/serviceaccount',
  ];
  const table = points.map((point, index) => `${index} 1 0:1 / ${pod(point)} ro - tmpfs tmpfs ro`);
  await writeFile(pod('mountinfo'), `${table.join('\n')}\n`);
  const volumePlaces = { mountInfo: pod('mountinfo'), volumesDir: pod('volumes'), secretsDir: pod('secrets') };
  world = await startWorld(undefined, { outgoing: { volumePlaces } });
});
afterEach(async () => {
  await files?.close();
  for (const { mux } of tunnels) await mux.close();
  await world.close();
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await rm(folder, { recursive: true, force: true });
});

const pod = (path: string): string => join(folder, 'pod', path);
let revisions = 0;

/** What the kubelet does with a ConfigMap that changed (AtomicWriter): a folder of its own, and one rename of `..data`. */
async function swapConfig(data: Readonly<Record<string, string>>): Promise<void> {
  const mount = pod('volumes/etc/config');
  const revision = `..2026_${++revisions}`;
  await mkdir(join(mount, revision), { recursive: true });
  for (const [name, text] of Object.entries(data)) await writeFile(join(mount, revision, name), text);
  await symlink(revision, join(mount, '..data_tmp'));
  await rename(join(mount, '..data_tmp'), join(mount, '..data'));
  for (const name of Object.keys(data))
    if (!existsSync(join(mount, name))) await symlink(join('..data', name), join(mount, name));
}

async function dial(): Promise<FilesTunnel> {
  const carrier = await dialCarrier(world.agent.tunnelPort);
  const identity = { sessionId: `s${tunnels.length}`, user: 'ann', host: 'desk' };
  const { transport } = await sessionHandshake(carrier, { key: world.key, session: identity, deadlineMs: 10_000 });
  const control = new ControlClient(
    (message) => mux.sendControl(message),
    (event) => {
      if (event.event === 'files-changed') files?.changed('web-1');
    },
  );
  const mux = new Mux(transport, {
    side: 'session',
    onOpen: (stream) => stream.refuse('refused'),
    onControl: (message) => control.receive(message),
  });
  void mux.closed.then((error) => control.close(error ?? new Error('closed')));
  const tunnel = { pod: 'web-1', mux, control };
  tunnels.push(tunnel);
  return tunnel;
}

async function start(exclude: readonly string[] = [], limits = FILES_LIMITS): Promise<CopiedFiles> {
  files = await startFiles({
    source: new SourceDouble(await dial()),
    sessionId: 'abc',
    exclude,
    limits,
    report: (event) => {
      if (event.event === 'warning') warnings.push(event.message);
    },
    log: silentLog,
    signal: AbortSignal.timeout(20_000),
  });
  return files;
}

const textOf = (path: string): string | undefined => {
  const copy = join(files?.root ?? '', path);
  return existsSync(copy) ? readFileSync(copy, 'utf8') : undefined;
};

const secrets = (): string => pod('secrets/kubernetes.io/serviceaccount');

test('ConfigMap, emptyDir, a file’s own mount and the token come from a real agent, at their paths', async () => {
  const { root, roots } = await start();
  assert.deepEqual(roots, ['/etc/config', '/etc/one.conf', '/var/data', secrets()].sort());
  assert.deepEqual([textOf('etc/config/a.yaml'), textOf('etc/config/b.yaml')], ['a: 1\n', 'b: 1\n']);
  assert.equal(textOf('etc/one.conf'), 'one');
  assert.equal(textOf(join(secrets(), 'token')), 'token 1');
  assert.equal(statSync(join(root, 'var/data/deep/x.bin')).size, 700_000);
  assert.equal(existsSync(join(root, 'etc/config/..data')), false);
  assert.deepEqual(warnings, []);
});

test('a swapped ConfigMap and a new token arrive by themselves', async () => {
  await start();
  await swapConfig({ 'a.yaml': 'a: 2\n', 'b.yaml': 'b: 2\n' });
  await until(() => textOf('etc/config/a.yaml') === 'a: 2\n', 'the ConfigMap arrives');
  assert.equal(textOf('etc/config/b.yaml'), 'b: 2\n');
  await writeFile(join(secrets(), 'token'), 'token 2');
  await until(() => textOf(join(secrets(), 'token')) === 'token 2', 'the token arrives');
  await rm(pod('volumes/var/data/deep'), { recursive: true });
  await until(() => textOf('var/data/deep/x.bin') === undefined, 'what vanished goes');
  assert.deepEqual(warnings, []);
});

test('more than the limits is refused by the agent already, with names and the way out; excluded it is not counted', async () => {
  await truncate(pod('volumes/var/data/deep/x.bin'), 200 * 1024 ** 2);
  await assert.rejects(start(), (error) => {
    assert.ok(error instanceof InterceptorError && error.code === 'FILES_LIMIT');
    assert.match(error.message, /200\.0 MiB.*in \/var\/data;.* the largest: \/var\/data\/deep\/x\.bin \(200\.0 MiB\)/);
    assert.match(error.hint ?? '', /--files-exclude/);
    return true;
  });
  const { roots } = await start(['/var/data/**']);
  assert.equal(textOf('etc/one.conf'), 'one');
  assert.ok(roots.includes('/var/data'));
});
