import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { leave } from '../../../cli/commands/leave.ts';
import { controlSocketPath, writeSessionRecord } from '../../../cli/session/state-files.ts';
import { sessionRecord } from '../../support/session-record.ts';

let folder: string;
const { XDG_STATE_HOME, KUBECONFIG } = process.env;
const children: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-leave-all-'));
  Object.assign(process.env, { XDG_STATE_HOME: folder, KUBECONFIG: join(folder, 'none') });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
  for (const [name, value] of Object.entries({ XDG_STATE_HOME, KUBECONFIG }))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
});

/** A session as other commands see it: answers `leave`, and ends. */
async function session(sessionId: string): Promise<ChildProcess> {
  const socket = await controlSocketPath(sessionId);
  const code = `require('node:net').createServer((s) => s.once('data', () => { s.end('{}\\n'); setTimeout(() => process.exit(), 100); }))
    .listen(${JSON.stringify(socket)}, () => console.log('up'))`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  await writeSessionRecord(
    await sessionRecord(folder, child.pid ?? 0, { sessionId, kubeconfig: join(folder, 'deleted'), socket }),
  );
  return child;
}

test('leave --all ends every session, also where the kubeconfig of one is gone', async () => {
  const sessions = [await session('a'), await session('b')];
  const ended = Promise.all(sessions.map((child) => once(child, 'exit')));
  await assert.rejects(leave(undefined, { all: true }), { code: 'KUBECONFIG_INVALID' });
  const codes = (await ended).map(([code]) => code);
  assert.deepEqual(codes, [0, 0]);
});
