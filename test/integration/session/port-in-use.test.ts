import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { test } from 'vitest';
import { requireFreePort } from '../../../cli/session/port-in-use.ts';
import { InterceptorError } from '../../../src/errors.ts';

const HOSTS = ['127.0.0.1', '::1'];

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
