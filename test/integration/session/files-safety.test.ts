import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import type { FilesLimits } from '../../../cli/session/files/types.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { until } from '../../support/until.ts';
import { FilesWorld, inRoot, textOf } from './files-world.ts';

let world: FilesWorld;
beforeEach(async () => {
  world = await FilesWorld.open();
});
afterEach(() => world.close());

test('paths that would leave the root are left out and told, whatever the agent says', async () => {
  const bad = ['../out', '/etc/../../out', '/etc/config/./x', '/etc/nul\0', '/', `/${'x'.repeat(300)}`];
  const pod = world.makePod();
  pod.roots = ['/etc/config', '/..', 'relative', '/etc/../../..'];
  for (const path of bad) pod.put(path, 'bad');
  pod.put('/etc//config/good', 'good');
  pod.onFile = () => {};
  pod.files.set('/etc/config/good', { text: 'good' });
  const files = await world.start(pod);
  assert.deepEqual(files.roots, ['/etc/config']);
  const names = await readdir(files.root, { recursive: true });
  assert.deepEqual(names.sort(), ['etc', 'etc/config', 'etc/config/good']);
  assert.match(world.warnings.join(), /not copied.*and 1 more/);
  assert.equal(existsSync(join(files.root, '..', 'out')), false);
});

test('a link in the way of a copy is replaced, and nothing is written to or removed from where it leads', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/a/b', '1');
  pod.put('/etc/config/c', '1');
  const files = await world.start(pod);
  const outside = join(world.folder, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'b'), 'mine');
  await rm(inRoot(files, 'etc/config/a'), { recursive: true });
  await symlink(outside, inRoot(files, 'etc/config/a'));
  await rm(inRoot(files, 'etc/config/c'), { force: true });
  await symlink(join(outside, 'b'), inRoot(files, 'etc/config/c'));
  pod.put('/etc/config/a/b', '2');
  pod.put('/etc/config/c', '2');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/c')) === '2', 'the change arrives');
  assert.equal(textOf(inRoot(files, 'etc/config/a/b')), '2');
  await rm(inRoot(files, 'etc/config/a'), { recursive: true });
  await symlink(outside, inRoot(files, 'etc/config/a'));
  pod.files.delete('/etc/config/a/b');
  pod.put('/etc/config/c', '3');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/c')) === '3', 'the next change arrives');
  assert.equal(await readFile(join(outside, 'b'), 'utf8'), 'mine');
});

test('files that cannot be read are named once, and the others are there', async () => {
  const pod = world.makePod();
  pod.unreadable = ['/etc/config/root-only'];
  pod.put('/etc/config/late', 'x', { unreadable: true });
  pod.put('/etc/config/fine', '1');
  const files = await world.start(pod);
  pod.put('/etc/config/fine', '2');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/fine')) === '2', 'the change arrives');
  assert.deepEqual(world.warnings, [
    'not copied, the agent may not read them (it does not run as root): /etc/config/late, /etc/config/root-only',
  ]);
});

const MIB = 1024 ** 2;
test.each<[string, Partial<FilesLimits>, string[], RegExp]>([
  ['too many files', { maxFiles: 2 }, ['x', 'x', 'x'], /hold 3 files, more than 2; most are in \/etc\/config \(3\)$/],
  [
    'too many bytes',
    { maxBytes: MIB },
    ['x'.repeat(MIB), 'x'.repeat(1024)],
    /hold 1 MiB, more than 1 MiB; the largest: \/etc\/config\/0 \(1 MiB\), \/etc\/config\/1 \(1 KiB\)$/,
  ],
  [
    'one file too large',
    { maxFileBytes: 10 },
    ['x'.repeat(2048), 'x'],
    /hold files larger than 10 bytes: \/etc\/config\/0 \(2 KiB\)$/,
  ],
])('%s: refused with figure, names and the way out, and nothing is left', async (_, limit, texts, message) => {
  const pod = world.makePod();
  for (const [index, text] of texts.entries()) pod.put(`/etc/config/${index}`, text);
  const limits = { maxFiles: 10, maxBytes: 10 * MIB, maxFileBytes: 10 * MIB, ...limit };
  await assert.rejects(world.start(pod, { limits }), (error) => {
    assert.ok(error instanceof InterceptorError && error.code === 'FILES_LIMIT');
    assert.match(error.message, message);
    assert.match(error.hint ?? '', /--files-exclude/);
    return true;
  });
  assert.deepEqual(world.leftFiles(), []);
});

test('a limit passed later is a warning once, and the copies stay as they were', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/a', '1');
  const files = await world.start(pod, { limits: { maxFiles: 10, maxBytes: 100, maxFileBytes: 100 } });
  pod.put('/etc/config/a', '2');
  pod.put('/etc/config/b', 'x'.repeat(200));
  for (let turn = 1; turn <= 2; turn++) {
    const listed = pod.listed;
    pod.tellChanged();
    await until(() => pod.listed > listed, 'it is listed again');
  }
  pod.files.delete('/etc/config/b');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/a')) === '2', 'the change arrives');
  assert.equal(world.warnings.length, 1);
  assert.match(world.warnings.join(), /not refreshed: .*larger than 100 bytes: \/etc\/config\/b/);
});

test('what --files-exclude names is neither copied nor counted, even if an agent lists it', async () => {
  const pod = world.makePod();
  pod.roots = ['/etc/config', '/var/big'];
  pod.put('/etc/config/a', '1');
  pod.put('/etc/config/a.sock', '1');
  pod.put('/var/big/x', 'x'.repeat(200));
  const limits = { maxFiles: 1, maxBytes: 100, maxFileBytes: 100 };
  const files = await world.start(pod, { exclude: ['/var/big', '*.sock'], limits });
  assert.deepEqual(files.roots, ['/etc/config']);
  assert.deepEqual(pod.opened, ['/etc/config/a']);
});
