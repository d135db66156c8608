import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, test } from 'vitest';
import { withLength } from '../../../src/net/length-prefix.ts';
import type { ControlMethods } from '../../../src/protocol/control.ts';
import { type AgentWorld, startWorld } from './support/agent-world.ts';
import { RefusedRequest, type SessionDouble } from './support/session-double.ts';
import { readAll, until } from './support/tcp.ts';

const run = promisify(execFile);
const ALL = { exclude: [], maxFiles: 1000, maxBytes: 1e9, watch: false };

/** A pod's volumes as folders: `volumes/etc/config` is mounted at the app's /etc/config. */
let dir = '';
let world: AgentWorld;
let session: SessionDouble;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kube-intercept volumes-'));
  await mkdir(join(dir, 'secrets'));
});
afterEach(async () => {
  await world.close();
  await rm(dir, { recursive: true });
});

const at = (path: string): string => join(dir, 'volumes', path);

async function put(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true });
  await writeFile(at(path), text, { mode });
  await chmod(at(path), mode);
}

/** Starts the agent of a pod with these mounts. */
async function start(mounts: readonly string[], more: readonly string[] = []): Promise<void> {
  const escaped = (path: string): string => path.replaceAll(' ', '\\040');
  const lines = [...mounts.map(at), ...more].map(
    (path) => `36 35 98:0 / ${escaped(path)} ro,noatime - ext4 /dev/root ro`,
  );
  await writeFile(join(dir, 'mountinfo'), `${lines.join('\n')}\n`);
  const volumePlaces = {
    mountInfo: join(dir, 'mountinfo'),
    volumesDir: join(dir, 'volumes'),
    secretsDir: join(dir, 'secrets'),
  };
  world = await startWorld(undefined, { outgoing: { volumePlaces } });
  session = await world.dial();
}

async function list(
  params: Partial<ControlMethods['files']['params']> = {},
): Promise<ControlMethods['files']['result']> {
  return await session.request('files', { ...ALL, ...params });
}

async function read(path: string | Buffer): Promise<string> {
  const stream = session.mux.open({ kind: 'file', host: '', port: 0 });
  stream.end(withLength(Buffer.from(path)));
  const { bytes, how } = await readAll(stream);
  return how === 'end' ? bytes.toString() : `refused: ${stream.resetReason}`;
}

/** What the kubelet does for a ConfigMap or a Secret (AtomicWriter): a new folder, and `..data` renamed to lead there. */
async function publish(path: string, version: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await put(join(path, `..${version}`, name), text);
    await symlink(join('..data', name), at(join(path, name))).catch(() => {}); // EEXIST: from before
  }
  await symlink(`..${version}`, at(join(path, '..data_tmp')));
  await rename(at(join(path, '..data_tmp')), at(join(path, '..data')));
}

test('what the kubelet made of links is plain files at the paths of the app', async () => {
  await publish('/etc/config', '2026_01', { 'a.yaml': 'one', 'b.txt': 'two' });
  await put('/data/deep/er/file', 'x'.repeat(100_000), 0o755);
  await put('/data/empty', '');
  await put('/app/one.conf', 'subPath');
  await start(['/etc/config', '/data', '/app/one.conf']);
  const { roots, files, unreadable } = await list();
  assert.deepEqual(roots, ['/app/one.conf', '/data', '/etc/config']);
  assert.deepEqual(unreadable, []);
  assert.deepEqual(
    files.map(({ path, size, mode }) => [path, size, mode.toString(8)]),
    [
      ['/app/one.conf', 7, '644'],
      ['/data/deep/er/file', 100_000, '755'],
      ['/data/empty', 0, '644'],
      ['/etc/config/a.yaml', 3, '644'],
      ['/etc/config/b.txt', 3, '644'],
    ],
  );
  assert.deepEqual(await Promise.all(['/etc/config/a.yaml', '/data/empty', '/app/one.conf'].map(read)), [
    'one',
    '',
    'subPath',
  ]);
  assert.equal((await read('/data/deep/er/file')).length, 100_000);
});

test("a token that admission mounts into the agent is the app's, and no other mount of the agent's is", async () => {
  const token = join(dir, 'secrets/kubernetes.io/serviceaccount');
  await mkdir(token, { recursive: true });
  await writeFile(join(token, 'token'), 'of the agent');
  await start([], [token, join(dir, 'volumes2/not-ours'), '/proc', join(dir, 'secrets')]);
  const { roots, files } = await list();
  assert.deepEqual(roots, [token]);
  assert.deepEqual(
    files.map(({ path }) => path),
    [join(token, 'token')],
  );
  assert.equal(await read(join(token, 'token')), 'of the agent');
});

test('nothing outside the volumes is given, by whatever path or link', async () => {
  await writeFile(join(dir, 'outside'), 'secret');
  await mkdir(join(dir, 'volumes2'));
  await writeFile(join(dir, 'volumes2/near'), 'secret');
  await put('/data/inside', 'fine');
  await put('/etc/other/c', 'other volume');
  const links = {
    up: '../../outside',
    absolute: join(dir, 'outside'),
    passwd: '/etc/passwd',
    near: '../../volumes2/near',
    folder: '../..',
    self: 'self',
    round: '../data',
    nowhere: 'no-such-file',
    sibling: '/etc/other/c',
    local: './inside',
    twice: 'local',
  };
  for (const [name, target] of Object.entries(links)) await symlink(target, at(`/data/${name}`));
  await start(['/data', '/etc/other']);
  const { files, unreadable } = await list();
  assert.deepEqual(
    files.map(({ path }) => path),
    ['/data/inside', '/data/local', '/data/sibling', '/data/twice', '/etc/other/c'],
  );
  assert.deepEqual(
    unreadable,
    ['absolute', 'folder', 'near', 'nowhere', 'passwd', 'self', 'up'].map((name) => `/data/${name}`),
  );
  assert.equal(await read('/data/sibling'), 'other volume'); // as the app sees it: an absolute link is one of its paths
  assert.equal(await read('/data/round/inside'), 'fine');
  const outside = [
    ...unreadable,
    '/data/../../outside',
    '/data/../../../../../../../etc/passwd',
    join(dir, 'outside'),
    '/etc/passwd',
    '/etc/otherwise',
    '/',
    '',
    'data/inside',
    '/data',
    '/data/inside/x',
    '/data/inside\0',
    Buffer.from([0x2f, 0xff]),
    `/${'x'.repeat(5000)}`,
  ];
  for (const path of outside) assert.equal(await read(path), 'refused: not-found', String(path));
});

test('sockets, FIFOs and devices are left out and not read', async () => {
  await put('/run/file', 'x');
  const server = createServer().listen(at('/run/app.sock'));
  await run('mkfifo', [at('/run/fifo')]);
  await start(['/run']);
  assert.deepEqual(
    (await list()).files.map(({ path }) => path),
    ['/run/file'],
  );
  for (const path of ['/run/app.sock', '/run/fifo']) assert.equal(await read(path), 'refused: not-found');
  server.close();
});

test('a stream without a whole path is refused', async () => {
  await start([]);
  for (const bytes of [Buffer.alloc(0), Buffer.from([0]), Buffer.from([0, 5, 0x2f])]) {
    const stream = session.mux.open({ kind: 'file', host: '', port: 0 });
    stream.end(bytes);
    assert.equal((await readAll(stream)).how, 'reset');
    assert.equal(stream.resetReason, 'not-found');
  }
});

test('what is excluded is neither listed nor counted', async () => {
  await put('/data/big/file', 'x'.repeat(1000));
  await put('/data/keep.txt', 'y');
  await put('/data/key.pem', 'z');
  await start(['/data']);
  const { files } = await list({ exclude: ['/data/big', '*.pem'], maxBytes: 1 });
  assert.deepEqual(
    files.map(({ path }) => path),
    ['/data/keep.txt'],
  );
});

test('more than asked for is refused with the figures, and so is a list too long for an answer', async () => {
  for (let index = 0; index < 30; index += 1) await put(`/data/${index}`, 'x'.repeat(1000));
  await put('/etc/small', 'x');
  await start(['/data', '/etc']);
  const refusal = async (params: Partial<ControlMethods['files']['params']>): Promise<string> => {
    const failure = await list(params).catch((error: unknown) => error);
    assert.ok(failure instanceof RefusedRequest);
    assert.equal(failure.error.code, 'FILES_LIMIT');
    return failure.error.message;
  };
  assert.match(await refusal({ maxFiles: 30 }), /hold 31 files, 0\.0 MiB, most of it in \/data; at most 30 files/);
  assert.match(await refusal({ maxBytes: 30_000 }), /31 files/);
  assert.equal((await list({ maxFiles: 31, maxBytes: 30_001 })).files.length, 31);
  for (let index = 0; index < 5000; index += 1) await writeFile(at(`/data/${'long'.repeat(50)}${index}`), '');
  assert.match(await refusal({ maxFiles: 1e6 }), /5031 files.*too long for one answer/);
});

test('a new version of a ConfigMap, a rotated token and a new file are told, and read afresh', async () => {
  await publish('/etc/config', '2026_01', { 'a.yaml': 'one' });
  await put('/data/file', 'first');
  await start(['/etc/config', '/data']);
  const before = await list({ watch: true });
  const changes = (): number => session.events.filter(({ event }) => event === 'files-changed').length;
  await publish('/etc/config', '2026_02', { 'a.yaml': 'two' });
  await rm(at('/etc/config/..2026_01'), { recursive: true });
  await until(() => changes() === 1, 'the ConfigMap is told');
  assert.equal(await read('/etc/config/a.yaml'), 'two');
  const after = await list();
  assert.notEqual(after.files.at(-1)?.version, before.files.at(-1)?.version);
  await put('/data/new/er/file', 'x');
  await until(() => changes() === 2, 'the new file is told');
  await writeFile(at('/data/new/er/file'), 'changed');
  await until(() => changes() === 3, 'its change is told');
  assert.equal((await list({ watch: true })).files.length, 3);
  assert.equal(changes(), 3); // nothing new
});
