import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { afterEach, beforeEach, onTestFinished, test } from 'vitest';
import { askToLeave, LEAVE_TIMES } from '../../../cli/session/ask-to-leave.ts';
import { listenControlSocket } from '../../../cli/session/control-socket.ts';
import type { SessionRecord } from '../../../cli/session/state-files.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import { sessionRecord } from '../../support/session-record.ts';
import { StateFolder } from '../../support/state-folder.ts';

const TIMES = { answerMs: 400, endMs: 600, tellMs: 100 };

let state: StateFolder;
let events: SessionEvent[];
beforeEach(async () => {
  state = await StateFolder.open();
  events = [];
});
afterEach(() => state.close());

/** A session of a process of its own, which ends by `kill`. */
async function session(): Promise<{ record: SessionRecord; kill: () => void }> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const pid = child.pid ?? 0;
  const record = await sessionRecord(state.path, pid);
  return { record, kill: () => void child.kill('SIGKILL') };
}

const ask = (record: SessionRecord, times = TIMES) => askToLeave(record, (event) => events.push(event), times);
const told = (): string => JSON.stringify(events);

test('a session that stands still is not waited for, which is said', async () => {
  const { record } = await session();
  const server = createServer(() => {}); // takes connections, as the kernel does for a stopped process, and says nothing
  await new Promise<void>((resolve) => server.listen(record.socket, resolve));
  onTestFinished(() => void server.close());
  const fromMs = performance.now();
  assert.equal(await ask(record), 'stuck');
  assert.ok(performance.now() - fromMs < TIMES.answerMs + 5_000);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['leaving', 'warning'],
  );
  assert.match(told(), /asking the session \(pid \d+\), for at most 0.4 s/);
  assert.match(told(), /has not answered for 0.4 s/);
});

test('what is waited for, and for how long at most, is told; and that there is an end to it', async () => {
  const { record } = await session();
  await using _ = await listenControlSocket(record.socket, async () => ({}));
  assert.equal(await ask(record), 'stuck');
  assert.match(told(), /"waiting","for":"the session \(pid \d+\) to restore, for at most 0.6 s"/);
  assert.match(told(), /has not ended in 0.6 s/);
});

test('a session that leaves is waited for', async () => {
  const { record, kill } = await session();
  await using _ = await listenControlSocket(record.socket, async ({ method }) => {
    if (method === 'leave') setTimeout(kill, 50);
    return {};
  });
  assert.equal(await ask(record, LEAVE_TIMES), 'ended');
  assert.deepEqual(
    events.map(({ event }) => event),
    ['leaving'],
  );
});

test('a session that does not listen yet is asked until it does', async () => {
  const { record, kill } = await session();
  const outcome = ask(record, LEAVE_TIMES);
  await new Promise((resolve) => setTimeout(resolve, 200));
  await using _ = await listenControlSocket(record.socket, async () => {
    setTimeout(kill, 50);
    return {};
  });
  assert.equal(await outcome, 'ended');
});

test('one that is gone is not asked', async () => {
  const { record } = await session();
  assert.equal(await ask({ ...record, processStart: '1' }), 'gone');
  assert.deepEqual(events, []);
});
