import assert from 'node:assert/strict';
import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { askSession, listenControlSocket } from '../../../cli/session/control-socket.ts';
import {
  controlSocketPath,
  isAlive,
  privateFolder,
  readSessionRecords,
  removeSessionRecord,
  type SessionRecord,
  writeSessionRecord,
} from '../../../cli/session/state-files.ts';
import { sessionRecord } from '../../support/session-record.ts';
import { StateFolder } from '../../support/state-folder.ts';

let state: StateFolder;
beforeEach(async () => {
  state = await StateFolder.open();
});
afterEach(() => state.close());

const record = (fields: Partial<SessionRecord> = {}): Promise<SessionRecord> =>
  sessionRecord(state.path, process.pid, fields);

const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8);

test('a folder that is a link, which anybody may have put into /tmp, is not taken', async () => {
  const [real, link] = [join(state.path, 'real'), join(state.path, 'link')];
  await mkdir(real, { mode: 0o755 });
  await symlink(real, link);
  await assert.rejects(privateFolder(link), /is not a folder/);
  assert.equal(await mode(real), '755');
  await privateFolder(real);
  assert.equal(await mode(real), '700');
});

test('a session’s record is its user’s alone and is read back until it is removed', async () => {
  const written = await record();
  await writeSessionRecord(written);
  const [read] = await readSessionRecords();
  assert.deepEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(written)));
  assert.equal(await mode(join(state.path, 'kube-intercept', 'sessions', 'abc.json')), '600');
  assert.equal(await mode(join(state.path, 'kube-intercept', 'sessions')), '700');
  await removeSessionRecord(written);
  assert.deepEqual(await readSessionRecords(), []);
});

test('with the record of a session go the sockets that a killed one has left', async () => {
  const [socket, direct] = [join(state.path, 'abc.sock'), join(state.path, 'abc-d.sock')];
  await Promise.all([socket, direct].map((path) => writeFile(path, '')));
  const left = await record({ socket, direct: { socket: direct, cluster: 'c', by: 'ann@laptop', mark: false } });
  await writeSessionRecord(left);
  await removeSessionRecord(left);
  for (const path of [socket, direct]) await assert.rejects(stat(path), { code: 'ENOENT' });
});

test('a record that cannot be read is left out', async () => {
  await mkdir(join(state.path, 'kube-intercept', 'sessions'), { recursive: true });
  await writeFile(join(state.path, 'kube-intercept', 'sessions', 'x.json'), '{"sessionId":');
  assert.deepEqual(await readSessionRecords(), []);
});

test('a process that got the pid of a dead session is not taken for it', async () => {
  assert.equal(await isAlive(await record()), true);
  assert.equal(await isAlive(await record({ processStart: '1' })), false);
  assert.equal(await isAlive(await record({ pid: 2 ** 22 - 1 })), false);
});

test('a session answers on its socket, which only its user may use', async () => {
  const path = await controlSocketPath('abc');
  await using _ = await listenControlSocket(path, async (request) => ({ got: request.method }));
  assert.equal(await mode(path), '600');
  assert.deepEqual(await askSession(path, { method: 'status' }, 2_000), { got: 'status' });
});

test('nobody at the socket is an answer, not an error', async () => {
  assert.equal(await askSession(join(state.path, 'none.sock'), { method: 'status' }, 2_000), undefined);
});

test('garbage on the socket ends that connection and no other', async () => {
  const path = await controlSocketPath('abc');
  await using _ = await listenControlSocket(path, async () => ({ fine: true }));
  const socket = connect(path);
  await new Promise<void>((resolve) => {
    socket.on('error', () => {}).on('close', () => resolve());
    socket.write('not json\n');
  });
  assert.deepEqual(await askSession(path, { method: 'status' }, 2_000), { fine: true });
});

test('closing the socket ends connections that say nothing', async () => {
  const path = await controlSocketPath('abc');
  const control = await listenControlSocket(path, async () => ({}));
  const socket = connect(path);
  await new Promise((resolve) => socket.once('connect', resolve));
  const closed = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve));
  await control.close();
  await closed;
});
