import assert from 'node:assert/strict';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { removeEnvFile, requireEnvFile, writeEnvFile } from '../../../cli/session/env-file.ts';
import { removeLeftEnvFiles } from '../../../cli/session/recover.ts';
import { writeSessionRecord } from '../../../cli/session/state-files.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { sessionRecord } from '../../support/session-record.ts';
import { StateFolder } from '../../support/state-folder.ts';
import { runLoneGuardian } from './lone-guardian.ts';

let state: StateFolder;
let path: string;
beforeEach(async () => {
  state = await StateFolder.open();
  path = join(state.path, '.env');
});
afterEach(() => state.close());

const exists = async (file: string): Promise<boolean> =>
  await stat(file).then(
    () => true,
    () => false, // ENOENT
  );

test('an environment file is 0600, is written anew by a later session, and removed by the one that wrote it last', async () => {
  await writeEnvFile(path, 'first', { A: '1' });
  assert.equal(((await stat(path)).mode & 0o777).toString(8), '600');
  await writeEnvFile(path, 'second', { A: '2' });
  await removeEnvFile(path, 'first');
  assert.match(await readFile(path, 'utf8'), /^# .*\nA=2\n$/);
  await removeEnvFile(path, 'second');
  assert.equal(await exists(path), false);
  await removeEnvFile(path, 'second'); // gone already
});

test('a file of the user’s own is never written over and never removed, nor what a link of theirs points to', async () => {
  await writeFile(path, 'MINE=1\n');
  const link = join(state.path, 'link');
  await symlink(path, link);
  for (const file of [path, link]) {
    await assert.rejects(
      writeEnvFile(file, 'abc', { A: '3' }),
      (error) =>
        error instanceof InterceptorError &&
        error.code === 'USAGE_BAD_OPTION' &&
        error.hint === 'name a file that does not exist yet',
    );
    await removeEnvFile(file, 'abc');
    assert.equal(await readFile(file, 'utf8'), 'MINE=1\n');
  }
});

test('a file that the user has made their own while the session ran stays', async () => {
  await writeEnvFile(path, 'abc', { A: '1' });
  await writeFile(path, 'MINE=1\n');
  await removeEnvFile(path, 'abc');
  assert.equal(await readFile(path, 'utf8'), 'MINE=1\n');
});

test.each([
  [
    'in a folder that is not there',
    'none/.env',
    /there is no folder \S+\/none$/,
    /^make it first: mkdir -p '\S+\/none'$/,
  ],
  ['below a file', 'file/.env', /\/file is not a folder$/, /^name a file in a folder$/],
  ['that is a folder', 'sub', /it is a folder/, /^name a file in it: --env-file \S+\/sub\/\.env$/],
  ['that exists', 'file', /exists and is not ours/, /^name a file that does not exist yet$/],
])('a file %s is refused before anything is done, with the hint that fits', async (_, name, message, hint) => {
  await mkdir(join(state.path, 'sub'));
  await writeFile(join(state.path, 'file'), 'x\n');
  await assert.rejects(requireEnvFile(join(state.path, name)), (error) => {
    assert.ok(error instanceof InterceptorError && error.code === 'USAGE_BAD_OPTION');
    assert.match(error.message, message);
    assert.match(error.hint ?? '', hint);
    return true;
  });
});

test('a file that is absent or ours may be named, and is not touched by the check', async () => {
  await requireEnvFile(path);
  assert.equal(await exists(path), false);
  await writeEnvFile(path, 'abc', { A: '1' });
  await requireEnvFile(path);
  assert.match(await readFile(path, 'utf8'), /A=1/);
});

test('the next command removes the environment file of a session that is gone, not that of a live one', async () => {
  const live = join(state.path, 'live.env');
  const record = await sessionRecord(state.path, process.pid, { sessionId: 'live', envFile: live });
  await writeSessionRecord(record);
  await writeSessionRecord({ ...record, sessionId: 'dead', processStart: '1', envFile: path });
  await writeEnvFile(live, 'live', { A: '1' });
  await writeEnvFile(path, 'dead', { A: '1' });
  await removeLeftEnvFiles();
  assert.deepEqual([await exists(live), await exists(path)], [true, false]);
});

test('the guardian removes the environment file as soon as its session is gone, before it reaches the cluster', async () => {
  await writeEnvFile(path, 'abc', { A: '1' });
  await runLoneGuardian(state.path, { envFile: path }, async () => !(await exists(path)));
}, 30_000);
