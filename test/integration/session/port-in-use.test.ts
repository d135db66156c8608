import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { afterEach, beforeEach, test } from 'vitest';
import { requireFreePort, requireNoTwin } from '../../../cli/session/port-in-use.ts';
import { type SessionRecord, writeSessionRecord } from '../../../cli/session/state-files.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { sessionRecord } from '../../support/session-record.ts';
import { StateFolder } from '../../support/state-folder.ts';

const HOSTS = ['127.0.0.1', '::1'];

let state: StateFolder;
beforeEach(async () => {
  state = await StateFolder.open();
});
afterEach(() => state.close());

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return address.port;
}

test('a port that nobody listens on is free', async () => {
  await requireFreePort(await freePort(), HOSTS);
});

test.each(['127.0.0.1', '0.0.0.0', '::1', '::'])('a listener on %s is named with its pid', async (host) => {
  const code = `require('net').createServer().listen({ port: 0, host: '${host}', ipv6Only: true }, function () { console.log(this.address().port) })`;
  const other = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const port = await new Promise<number>((resolve) => other.stdout.once('data', (text) => resolve(Number(text))));
    await assert.rejects(requireFreePort(port, HOSTS), (error) => {
      assert.ok(error instanceof InterceptorError && error.code === 'USAGE_BAD_PORT');
      const by = process.platform === 'linux' ? ` by pid ${other.pid} (node)` : '';
      assert.equal(error.message, `port ${port} on this laptop is in use already${by}`);
      assert.match(error.hint ?? '', /end it, or choose another --port, or leave out the command/);
      return true;
    });
  } finally {
    other.kill('SIGKILL');
  }
});

/** Another session of this laptop, by a process that lives as long as the test's. */
async function otherSession(localPort: number): Promise<SessionRecord> {
  const record = await sessionRecord(state.path, process.ppid, {
    services: [{ name: 'web', addresses: ['10.0.0.1'] }],
    ports: [
      {
        local: `127.0.0.1:${localPort}`,
        service: 'web',
        servicePort: 80,
        servicePortName: undefined,
        appPort: 8080,
        protocol: 'tcp' as const,
      },
    ],
  });
  await writeSessionRecord(record);
  return record;
}

test('a port that another intercept of this laptop has is told by its target, and how to end it', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  await otherSession(address.port);
  await assert.rejects(requireFreePort(address.port, HOSTS), (error) => {
    assert.ok(error instanceof InterceptorError && error.code === 'USAGE_BAD_PORT');
    assert.match(
      error.message,
      new RegExp(`in use already by the intercept of web in shop \\(pid ${process.ppid}\\)$`),
    );
    assert.equal(error.hint, 'intercept leave web -n shop ends it; or choose another --port');
    return true;
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

test('the same intercept twice on a laptop is TARGET_IN_USE; another port, namespace or a dead session is not', async () => {
  const record = await otherSession(3000);
  await assert.rejects(requireNoTwin(record, [8080]), {
    code: 'TARGET_IN_USE',
    message: `deployment/web is intercepted on this laptop already (pid ${process.ppid})`,
    hint: 'intercept leave web -n shop ends it',
  });
  await requireNoTwin(record, [9090]);
  await requireNoTwin({ ...record, namespace: 'other' }, [8080]);
  await writeSessionRecord({ ...record, processStart: '1' });
  await requireNoTwin(record, [8080]);
});
