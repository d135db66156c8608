import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, test } from 'vitest';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Runs a scenario of full-disk.ts with a tmpfs of 1 MiB as its disk, in a mount namespace of its own. */
async function onSmallDisk(scenario: string): Promise<unknown> {
  const script = new URL('./full-disk.ts', import.meta.url).pathname;
  const shell = `mount -t tmpfs -o size=1m,mode=0700 tmpfs "$0" && exec "$@"`;
  const node = [process.execPath, '--import', 'tsx', script, folder, scenario];
  const { stdout } = await promisify(execFile)('unshare', ['-Urm', 'sh', '-c', shell, folder, ...node], {
    env: { ...process.env, XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: join(folder, 'state') },
    timeout: 30_000,
  });
  return JSON.parse(stdout);
}

test('a disk that is full at the start is an error that says so, and nothing is left', async () => {
  assert.deepEqual(await onSmallDisk('start'), {
    code: 'FILES_NOT_WRITTEN',
    saysFull: true,
    hint: true,
    left: [],
  });
});

test('a disk that gets full later is a warning; the copies stay whole and are refreshed once there is room', async () => {
  assert.deepEqual(await onSmallDisk('later'), {
    warnings: 1,
    saysFull: true,
    afterFull: { a: '1', big: 'undefined' },
    staged: [],
    afterRoom: { a: '2', big: 'xxx' },
    left: [],
  });
});
