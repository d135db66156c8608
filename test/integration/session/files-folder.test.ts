import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import {
  type FilesFolder,
  makeFilesFolder,
  removeLeftFiles,
  removeSessionFiles,
} from '../../../cli/session/files/folder.ts';
import { StateFolder } from '../../support/state-folder.ts';
import { runLoneGuardian } from './lone-guardian.ts';

let state: StateFolder;
beforeEach(async () => {
  state = await StateFolder.openWithRuntime();
});
afterEach(() => state.close());

const recordOf = (sessionId: string): string =>
  join(state.path, 'state', 'kube-intercept', 'files', `${sessionId}.json`);

async function makeWithFile(sessionId: string): Promise<FilesFolder> {
  const made = await makeFilesFolder(sessionId);
  await mkdir(join(made.root, 'etc'));
  await writeFile(join(made.root, 'etc', 'secret'), 'x', { mode: 0o400 });
  return made;
}

/** As if the session that made it had been killed, its guardian too. */
async function kill(sessionId: string): Promise<void> {
  const record: unknown = JSON.parse(await readFile(recordOf(sessionId), 'utf8'));
  await writeFile(recordOf(sessionId), JSON.stringify({ ...(record as object), processStart: '1' }));
}

test('the next run removes the copies of a session that is gone, wherever XDG_RUNTIME_DIR is then, and no live one’s', async () => {
  const dead = await makeWithFile('dead');
  const live = await makeWithFile('live');
  await kill('dead');
  delete process.env.XDG_RUNTIME_DIR;
  await removeLeftFiles();
  assert.deepEqual([existsSync(dead.path), existsSync(live.path)], [false, true]);
  assert.deepEqual([existsSync(recordOf('dead')), existsSync(recordOf('live'))], [false, true]);
});

test('a session that was killed before its folder was complete leaves nothing either', async () => {
  const made = await makeFilesFolder('dead');
  await rm(made.path, { recursive: true });
  await mkdir(made.path);
  await kill('dead');
  await removeLeftFiles();
  assert.deepEqual([existsSync(made.path), existsSync(recordOf('dead'))], [false, false]);
});

test.each<[string, (made: FilesFolder) => Promise<string>]>([
  [
    'a folder that another session made anew',
    async (made) => {
      await writeFile(join(made.path, 'session'), 'other');
      return join(made.root, 'etc', 'secret');
    },
  ],
  [
    'a folder of the user’s own, where the copies were',
    async (made) => {
      await rm(made.path, { recursive: true });
      await mkdir(made.path);
      await writeFile(join(made.path, 'mine'), 'mine');
      return join(made.path, 'mine');
    },
  ],
  [
    'what a link leads to that stands where the copies were',
    async (made) => {
      await rename(made.path, join(state.path, 'elsewhere'));
      await symlink(join(state.path, 'elsewhere'), made.path);
      return join(state.path, 'elsewhere', 'root', 'etc', 'secret');
    },
  ],
  [
    'a folder that a broken record names',
    async (made) => {
      await mkdir(join(state.path, 'home'));
      await writeFile(join(state.path, 'home', 'session'), 'dead');
      await writeFile(
        recordOf('dead'),
        JSON.stringify({ sessionId: 'dead', pid: 1, folder: join(state.path, 'home') }),
      );
      await rm(made.path, { recursive: true });
      return join(state.path, 'home', 'session');
    },
  ],
])('%s is left alone', async (_, change) => {
  const kept = await change(await makeWithFile('dead'));
  await removeSessionFiles('dead');
  assert.equal(existsSync(kept), true);
});

test('what a link among the copies leads to is not removed with them', async () => {
  const made = await makeWithFile('dead');
  await mkdir(join(state.path, 'mine'));
  await writeFile(join(state.path, 'mine', 'a'), 'mine');
  await symlink(join(state.path, 'mine'), join(made.root, 'link'));
  await removeSessionFiles('dead');
  assert.equal(existsSync(made.path), false);
  assert.deepEqual(await readdir(join(state.path, 'mine')), ['a']);
});

test.each(['', '..', 'a/b', 'x'.repeat(65)])('a session id of %j makes no folder', async (sessionId) => {
  await assert.rejects(makeFilesFolder(sessionId));
});

test('the guardian removes the copies as soon as its session is gone, before it reaches the cluster', async () => {
  const made = await makeWithFile('abc');
  await runLoneGuardian(state.path, {}, async () => !existsSync(made.path));
}, 30_000);
