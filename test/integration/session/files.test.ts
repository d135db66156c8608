import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { until } from '../../support/until.ts';
import { FilesWorld, inRoot, mode, textOf } from './files-world.ts';

let world: FilesWorld;
beforeEach(async () => {
  world = await FilesWorld.open();
});
afterEach(() => world.close());

test('the app’s files are below the root by their own paths, for their user only and read-only', async () => {
  const pod = world.makePod();
  pod.roots = ['/etc/config', '/var/empty', '/etc/one.yaml'];
  pod.put('/etc/config/a.yaml', 'a: 1\n');
  pod.put('/etc/config/deep/er/b', '');
  pod.put('/etc/config/run.sh', '#!/bin/sh\n', { mode: 0o755 });
  pod.put('/etc/one.yaml', 'one');
  const files = await world.start(pod);
  assert.deepEqual(files.roots, ['/etc/config', '/var/empty', '/etc/one.yaml']);
  assert.equal(textOf(inRoot(files, 'etc/config/a.yaml')), 'a: 1\n');
  assert.equal(textOf(inRoot(files, 'etc/config/deep/er/b')), '');
  assert.equal(textOf(inRoot(files, 'etc/one.yaml')), 'one');
  assert.deepEqual(
    ['etc/config/a.yaml', 'etc/config/run.sh', 'etc/config/deep', 'var/empty', '', '..'].map((path) =>
      mode(inRoot(files, path)),
    ),
    ['400', '500', '700', '700', '700', '700'],
  );
  assert.ok(files.root.startsWith(join(world.folder, 'run')));
  assert.deepEqual(world.warnings, []);
});

test.each([undefined, 'relative', '/nowhere', 'shared'])(
  'without a XDG_RUNTIME_DIR of its user’s own (%s) the copies go to the state folder',
  async (runtime) => {
    await mkdir(join(world.folder, 'shared'), { mode: 0o755 });
    if (runtime === undefined) delete process.env.XDG_RUNTIME_DIR;
    else process.env.XDG_RUNTIME_DIR = runtime === 'shared' ? join(world.folder, runtime) : runtime;
    const files = await world.start(world.makePod());
    assert.ok(files.root.startsWith(join(world.folder, 'state')));
  },
);

test('a change arrives, what vanished goes, and what is the same is not touched', async () => {
  const pod = world.makePod();
  pod.roots = ['/etc/config', '/var/data'];
  pod.put('/etc/config/a', 'old');
  pod.put('/etc/config/same', 'same');
  pod.put('/var/data/x/y/z', 'gone soon');
  const files = await world.start(pod);
  const { ino } = statSync(inRoot(files, 'etc/config/same'));
  pod.put('/etc/config/a', 'new');
  pod.put('/etc/config/added', '1');
  pod.files.delete('/var/data/x/y/z');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/added')) === '1', 'the change arrives');
  assert.equal(textOf(inRoot(files, 'etc/config/a')), 'new');
  assert.equal(statSync(inRoot(files, 'etc/config/same')).ino, ino);
  assert.deepEqual(readdirSync(inRoot(files, 'var/data')), []);
  assert.equal(pod.opened.filter((path) => path.endsWith('same')).length, 1);
});

test('a file becomes a folder and a folder a file', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/a', 'file');
  pod.put('/etc/config/b/c', 'file');
  const files = await world.start(pod);
  pod.files.clear();
  pod.put('/etc/config/a/c', 'below');
  pod.put('/etc/config/b', 'now a file');
  pod.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/a/c')) === 'below', 'the folder arrives');
  assert.equal(textOf(inRoot(files, 'etc/config/b')), 'now a file');
  assert.deepEqual(readdirSync(inRoot(files, 'etc/config')).sort(), ['a', 'b']);
});

test('files that change together while they are copied arrive as they belong together', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/tls.crt', 'certificate 1');
  pod.put('/etc/config/tls.key', 'key 1');
  let swaps = 0;
  pod.onFile = (path) => {
    if (path !== '/etc/config/tls.key' || swaps++ > 0) return;
    pod.put('/etc/config/tls.crt', 'certificate 2');
    pod.put('/etc/config/tls.key', 'key 2');
  };
  const files = await world.start(pod);
  const both = ['tls.crt', 'tls.key'].map((name) => textOf(inRoot(files, `etc/config/${name}`)));
  assert.deepEqual(both, ['certificate 2', 'key 2']);
  assert.equal(pod.opened.length, 4);
});

test('a reader never sees a part of a file, however often it changes', async () => {
  const pod = world.makePod();
  const texts = ['a', 'b'].map((letter) => letter.repeat(300_000));
  pod.put('/etc/config/big', texts[0] ?? '');
  const files = await world.start(pod);
  const seen = new Set<string>();
  for (let turn = 1; turn <= 3; turn++) {
    const text = texts[turn % 2] ?? '';
    pod.put('/etc/config/big', text);
    pod.tellChanged();
    await until(() => {
      seen.add(readFileSync(inRoot(files, 'etc/config/big'), 'utf8'));
      return textOf(inRoot(files, 'etc/config/big')) === text;
    }, 'the change arrives');
  }
  assert.deepEqual([...seen].map((text) => texts.indexOf(text)).sort(), [0, 1]);
});

test('a file that is written all the time is copied as it was last seen, and holds up nothing', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/log', '0');
  pod.put('/etc/config/a', '1');
  let writes = 0;
  pod.onFile = (path) => {
    if (path === '/etc/config/log') pod.put(path, String(++writes));
  };
  const files = await world.start(pod);
  assert.equal(textOf(inRoot(files, 'etc/config/a')), '1');
  assert.match(textOf(inRoot(files, 'etc/config/log')) ?? '', /^\d$/);
});

test('a file that vanishes while it is copied is left out', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/a', '1');
  pod.put('/etc/config/b', '2');
  pod.onFile = () => void pod.files.delete('/etc/config/b');
  const files = await world.start(pod);
  assert.deepEqual(readdirSync(inRoot(files, 'etc/config')), ['a']);
  assert.deepEqual(world.warnings, []);
});

test('few files are on their way at once', async () => {
  const pod = world.makePod();
  for (let index = 0; index < 100; index++) pod.put(`/etc/config/${index}`, String(index));
  const files = await world.start(pod);
  assert.equal(readdirSync(inRoot(files, 'etc/config')).length, 100);
  assert.equal(pod.mostAtOnce, 8);
});
