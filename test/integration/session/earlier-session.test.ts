import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { type ControlSocket, listenControlSocket } from '../../../cli/session/control-socket.ts';
import { untilRestored } from '../../../cli/session/earlier-session.ts';
import { controlSocketPath, writeSessionRecord } from '../../../cli/session/state-files.ts';
import { sessionRecord } from '../../support/session-record.ts';

const SERVER = 'https://cluster.test';
const REF = { kind: 'Deployment', namespace: 'shop', name: 'web' } as const;
const stateHome = process.env.XDG_STATE_HOME;

let folder: string;
let other: ChildProcess;
let control: ControlSocket;
let state: 'starting' | 'ready' | 'leaving';

/** Another session of the workload: its process does nothing, the test answers for it. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-earlier-'));
  process.env.XDG_STATE_HOME = folder;
  other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const { pid = 0 } = other;
  const socket = await controlSocketPath('earlier');
  control = await listenControlSocket(socket, async () => ({ state }));
  const { namespace, kind: workloadKind, name: workloadName } = REF;
  const its = { sessionId: 'earlier', server: SERVER, namespace, workloadKind, workloadName, socket };
  await writeSessionRecord(await sessionRecord(folder, pid, its));
});
afterEach(async () => {
  other.kill('SIGKILL');
  await control.close();
  await rm(folder, { recursive: true });
  if (stateHome === undefined) delete process.env.XDG_STATE_HOME;
  else process.env.XDG_STATE_HOME = stateHome;
});

const never = new AbortController().signal;

test('a session that gives the workload back is waited for, and that is told once', async () => {
  state = 'leaving';
  let told = 0;
  let isOver = false;
  const restored = untilRestored(REF, SERVER, { signal: never, onWait: () => (told += 1) }).then(() => {
    isOver = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 500)); // nothing is to happen
  assert.deepEqual([told, isOver], [1, false]);
  await control.close();
  await restored;
  assert.equal(told, 1);
});

test('nobody waits for a session that stays, or for one of another workload or cluster', async () => {
  const onWait = (): void => assert.fail('it waits');
  for (state of ['starting', 'ready'] as const) await untilRestored(REF, SERVER, { signal: never, onWait });
  state = 'leaving';
  await untilRestored({ ...REF, name: 'api' }, SERVER, { signal: never, onWait });
  await untilRestored(REF, 'https://other.test', { signal: never, onWait });
});

test('the wait ends at its deadline, with the signal, and with the other process', async () => {
  state = 'leaving';
  const onWait = (): void => {};
  await untilRestored(REF, SERVER, { signal: never, onWait, deadlineMs: 300 });
  await untilRestored(REF, SERVER, { signal: AbortSignal.timeout(300), onWait });
  const restored = untilRestored(REF, SERVER, { signal: never, onWait });
  other.kill('SIGKILL');
  await restored;
});
