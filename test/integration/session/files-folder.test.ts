import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import {
  type FilesFolder,
  makeFilesFolder,
  removeLeftFiles,
  removeSessionFiles,
} from '../../../cli/session/files/folder.ts';
import type { GuardianMessage, GuardianTask } from '../../../cli/session/guardian.ts';
import { waitFor } from '../../cluster/exec.ts';

let folder: string;
const before = { XDG_STATE_HOME: process.env.XDG_STATE_HOME, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR };
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
  await mkdir(join(folder, 'run'), { mode: 0o700 });
  process.env.XDG_STATE_HOME = join(folder, 'state');
  process.env.XDG_RUNTIME_DIR = join(folder, 'run');
});
afterEach(async () => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await rm(folder, { recursive: true, force: true });
});

const recordOf = (sessionId: string): string => join(folder, 'state', 'kube-intercept', 'files', `${sessionId}.json`);

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
      await rename(made.path, join(folder, 'elsewhere'));
      await symlink(join(folder, 'elsewhere'), made.path);
      return join(folder, 'elsewhere', 'root', 'etc', 'secret');
    },
  ],
  [
    'a folder that a broken record names',
    async (made) => {
      await mkdir(join(folder, 'home'));
      await writeFile(join(folder, 'home', 'session'), 'dead');
      await writeFile(recordOf('dead'), JSON.stringify({ sessionId: 'dead', pid: 1, folder: join(folder, 'home') }));
      await rm(made.path, { recursive: true });
      return join(folder, 'home', 'session');
    },
  ],
])('%s is left alone', async (_, change) => {
  const kept = await change(await makeWithFile('dead'));
  await removeSessionFiles('dead');
  assert.equal(existsSync(kept), true);
});

test('what a link among the copies leads to is not removed with them', async () => {
  const made = await makeWithFile('dead');
  await mkdir(join(folder, 'mine'));
  await writeFile(join(folder, 'mine', 'a'), 'mine');
  await symlink(join(folder, 'mine'), join(made.root, 'link'));
  await removeSessionFiles('dead');
  assert.equal(existsSync(made.path), false);
  assert.deepEqual(await readdir(join(folder, 'mine')), ['a']);
});

test.each(['', '..', 'a/b', 'x'.repeat(65)])('a session id of %j makes no folder', async (sessionId) => {
  await assert.rejects(makeFilesFolder(sessionId));
});

test('the guardian removes the copies as soon as its session is gone, before it reaches the cluster', async () => {
  const made = await makeWithFile('abc');
  const script = new URL('../../../cli/session/guardian-main.ts', import.meta.url).pathname;
  const guardian = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['pipe', 'ignore', 'inherit'] });
  try {
    const task: GuardianTask = {
      sessionId: 'abc',
      kubeconfig: join(folder, 'no-kubeconfig'),
      context: 'none',
      namespace: 'shop',
      workloadKind: 'Deployment',
      workloadName: 'web',
      workloadUid: 'uid',
      keepAgent: false,
      socket: join(folder, 'x.sock'),
      direct: undefined,
      envFile: undefined,
    };
    const message: GuardianMessage = { type: 'task', task };
    guardian.stdin.end(`${JSON.stringify(message)}\n`);
    await waitFor(async () => (existsSync(made.path) ? undefined : true), {
      timeoutMs: 20_000,
      onTimeout: () => new Error('the copies are still there'),
    });
  } finally {
    guardian.kill('SIGKILL');
  }
}, 30_000);
