import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { afterEach, beforeEach, test } from 'vitest';
import { until } from '../../support/until.ts';
import { FilesWorld, inRoot, textOf } from './files-world.ts';
import { SourceDouble } from './pod-files.ts';

let world: FilesWorld;
beforeEach(async () => {
  world = await FilesWorld.open();
});
afterEach(() => world.close());

test('when the pod is replaced the next one’s files take over, and equal ones are not touched', async () => {
  const first = world.makePod('web-1');
  first.put('/etc/config/a', '1');
  first.put('/etc/config/same', 'same');
  const source = new SourceDouble(first.tunnel);
  const files = await world.start(source);
  const { ino } = statSync(inRoot(files, 'etc/config/same'));
  await first.close();
  const second = world.makePod('web-2');
  second.put('/etc/config/a', '2');
  second.put('/etc/config/same', 'same');
  source.use(second.tunnel);
  await until(() => textOf(inRoot(files, 'etc/config/a')) === '2', 'the next pod’s file arrives');
  assert.equal(statSync(inRoot(files, 'etc/config/same')).ino, ino);
  second.put('/etc/config/a', '3');
  second.tellChanged();
  await until(() => textOf(inRoot(files, 'etc/config/a')) === '3', 'the next pod’s change arrives');
  assert.deepEqual(world.warnings, []);
});

test('a pod that is lost in the middle of the first copy is gone on without', async () => {
  const first = world.makePod('web-1');
  const second = world.makePod('web-2');
  const source = new SourceDouble(first.tunnel);
  for (const pod of [first, second]) pod.put('/etc/config/a', pod.name);
  first.onFile = async () => {
    await first.close();
    source.use(second.tunnel);
  };
  const files = await world.start(source);
  assert.equal(textOf(inRoot(files, 'etc/config/a')), 'web-2');
});

test('a session that is ended while it copies leaves nothing', async () => {
  const pod = world.makePod();
  const abort = new AbortController();
  pod.put('/etc/config/a', '1');
  pod.onFile = () => abort.abort(new Error('Ctrl-C'));
  await assert.rejects(world.start(pod, { signal: abort.signal }), /Ctrl-C/);
  assert.deepEqual(world.leftFiles(), []);
});

test('close ends a refresh that is under way and removes the folder; again it does nothing', async () => {
  const pod = world.makePod();
  pod.put('/etc/config/a', '1');
  const files = await world.start(pod);
  const stuck = new Promise<void>((resolve) => {
    pod.onFile = () => {
      resolve();
      return new Promise(() => {});
    };
  });
  pod.put('/etc/config/a', '2');
  pod.tellChanged();
  await stuck;
  await Promise.all([files.close(), files.close()]);
  await assert.rejects(stat(files.root), { code: 'ENOENT' });
  assert.deepEqual(world.leftFiles(), []);
});
