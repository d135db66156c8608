import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import {
  type CommandRecord,
  endLeftCommands,
  forgetCommand,
  leftCommands,
  rememberCommand,
} from '../../../cli/session/left-commands.ts';
import { isRunning, markProcess, type ProcessMark } from '../../../cli/session/process-mark.ts';
import type { SessionEvent } from '../../../cli/ui/events.ts';
import { waitFor } from '../../cluster/exec.ts';
import { StateFolder } from '../../support/state-folder.ts';
import { runLoneGuardian } from './lone-guardian.ts';

/** Says `up` when it no longer hears SIGTERM. */
const DEAF = 'trap "" TERM; echo up; while :; do sleep 0.1; done';

let state: StateFolder;
let children: ChildProcess[];
beforeEach(async () => {
  state = await StateFolder.open();
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await state.close();
});

async function start(...[file = '', ...args]: string[]): Promise<ProcessMark> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  if (args.includes(DEAF)) await new Promise((resolve) => child.stdout.once('data', resolve));
  const mark = await markProcess(child.pid ?? 0);
  assert.ok(await isRunning(mark));
  return mark;
}

async function ended(...[file = '', ...args]: string[]): Promise<ProcessMark> {
  const mark = await start(file, ...args);
  process.kill(mark.pid, 'SIGKILL');
  await untilGone(mark);
  return mark;
}

async function untilGone(mark: ProcessMark): Promise<void> {
  const onTimeout = (): Error => new Error(`${mark.pid} still runs`);
  await waitFor(async () => ((await isRunning(mark)) ? undefined : true), { timeoutMs: 5_000, onTimeout });
}

const path = (): string => join(state.path, 'kube-intercept', 'commands', 'abc.json');

/** A command whose session and guardian were killed, but for `fields`. */
async function leave(command: ProcessMark, fields: Partial<CommandRecord> = {}): Promise<void> {
  const gone = await ended('sleep', '60');
  await rememberCommand({ sessionId: 'abc', workload: 'deployment/web', namespace: 'shop', command }, gone.pid);
  const record = JSON.parse(await readFile(path(), 'utf8')) as CommandRecord;
  await writeFile(path(), JSON.stringify({ ...record, session: gone, guardian: gone, ...fields }));
}

async function endAll(patienceMs?: number): Promise<string[]> {
  const events: SessionEvent[] = [];
  await endLeftCommands((event) => events.push(event), patienceMs);
  return events.map((event) => ('message' in event ? event.message : event.event));
}

test('the next run ends a command whose session and guardian were killed, and says so', async () => {
  const command = await start('sleep', '60');
  await leave(command);
  assert.deepEqual(
    (await leftCommands()).map(({ command: { pid } }) => pid),
    [command.pid],
  );
  const said = await endAll();
  assert.equal(said.length, 1);
  assert.match(
    said[0] ?? '',
    new RegExp(`pid ${command.pid}\\) of a session of deployment/web in shop that was killed`),
  );
  await untilGone(command);
  assert.equal(existsSync(path()), false);
});

test('one that does not hear SIGTERM is killed with what it has started', async () => {
  const command = await start('sh', '-c', `sh -c '${DEAF}' >/dev/null & echo $! > ${state.path}/pid; ${DEAF}`, DEAF);
  const child = await markProcess(Number(await readFile(join(state.path, 'pid'), 'utf8')));
  assert.ok(await isRunning(child));
  await leave(command);
  await endAll(300);
  await untilGone(command);
  await untilGone(child);
  assert.equal(existsSync(path()), false);
});

test.each<[string, boolean, (command: ProcessMark) => Promise<Partial<CommandRecord>>]>([
  ['of a session that runs', true, async () => ({ session: await start('sleep', '60') })],
  ['that its guardian ends', true, async () => ({ guardian: await start('sleep', '60') })],
  ['of a container that shares the home', true, async () => ({ place: { ...(await place()), pids: 'pid:[1]' } })],
  ['that has got the pid since', false, async ({ pid }) => ({ command: { pid, start: '1' } })],
  ['whose start is not known', false, async ({ pid }) => ({ command: { pid, start: undefined } })],
  ['of another boot', false, async () => ({ place: { ...(await place()), boot: 'another' } })],
])('a process %s is left alone', async (_, isNoted, fieldsOf) => {
  const other = await start('sleep', '60');
  await leave(other);
  const fields = await fieldsOf(other);
  await leave(other, fields);
  assert.deepEqual(await endAll(), []);
  assert.ok(await isRunning(other));
  assert.equal(existsSync(path()), isNoted);
});

async function place(): Promise<CommandRecord['place']> {
  return (JSON.parse(await readFile(path(), 'utf8')) as CommandRecord).place;
}

test('a process of another user is never taken for a command of ours', async () => {
  if (process.getuid?.() !== 0) return;
  const child = spawn('sleep', ['60'], { uid: 65534, gid: 65534 });
  children.push(child);
  const mark = await markProcess(child.pid ?? 0);
  await leave(mark);
  assert.deepEqual(await endAll(), []);
  assert.equal(child.kill(0), true);
});

test.each(['', '{"sessionId":', '{"sessionId":"abc","place":{},"command":{"pid":-1},"session":{"pid":2}}'])(
  'a note that is broken ends nothing: %j',
  async (text) => {
    await leave(await start('sleep', '60'));
    await writeFile(path(), text);
    assert.deepEqual(await leftCommands(), []);
  },
);

test('a command that has ended is forgotten', async () => {
  await leave(await start('sleep', '60'));
  await forgetCommand('abc');
  assert.equal(existsSync(path()), false);
  await forgetCommand('abc');
});

test('the guardian ends the command of a session that was killed, and forgets it', async () => {
  const command = await start('sleep', '60');
  await leave(command);
  await runLoneGuardian(state.path, {}, async () => !existsSync(path()), command);
  assert.equal(await isRunning(command), false);
}, 30_000);

test('the guardian leaves alone what has got the pid of the command since', async () => {
  const other = await start('sleep', '60');
  await leave(other);
  await runLoneGuardian(state.path, {}, async () => !existsSync(path()), { ...other, start: '1' });
  assert.equal(await isRunning(other), true);
}, 30_000);
