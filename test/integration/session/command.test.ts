import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { Command } from '../../../cli/session/command.ts';
import { InterceptorError } from '../../../src/errors.ts';
import { waitFor } from '../../cluster/exec.ts';
import { isRunning } from '../../support/processes.ts';

const env = { PATH: process.env.PATH ?? '' };
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kube-intercept-test-'));
});
afterEach(async () => await rm(folder, { recursive: true, force: true }));

test('the command’s exit code is handed on', async () => {
  const command = await Command.start(['sh', '-c', 'exit 7'], env);
  assert.deepEqual(await command.ended, { exitCode: 7, text: 'exited with code 7' });
  assert.equal(command.running, false);
});

test('a command ended by a signal counts as 128 and its number, as in a shell', async () => {
  const command = await Command.start(['sleep', '60'], env);
  command.signal('SIGTERM');
  assert.deepEqual(await command.ended, { exitCode: 143, text: 'ended by SIGTERM' });
});

test('a command that does not exist is an error of its own', async () => {
  await assert.rejects(
    Command.start(['no-such-command-here'], env),
    (error) =>
      error instanceof InterceptorError && error.code === 'COMMAND_NOT_FOUND' && /not found/.test(error.message),
  );
});

test('a signal to a command that has ended is no error', async () => {
  const command = await Command.start(['true'], env);
  await command.ended;
  command.signal('SIGTERM');
  await command.killTree();
});

test('forcing ends what the command started, too', async () => {
  const pidFile = join(folder, 'pid');
  const script = `sh -c 'trap "" TERM INT; echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; while :; do sleep 1; done' & wait`;
  const command = await Command.start(['sh', '-c', script], env);
  const pid = await waitFor(async () => Number(await readFile(pidFile, 'utf8').catch(() => '')) || undefined, {
    timeoutMs: 5_000,
    onTimeout: () => new Error('the grandchild did not start'),
  });
  await command.killTree();
  assert.deepEqual(await command.ended, { exitCode: 137, text: 'ended by SIGKILL' });
  await waitFor(async () => ((await isRunning(pid)) ? undefined : true), {
    timeoutMs: 5_000,
    onTimeout: () => new Error('the grandchild still runs'),
  });
});

test('the guardian’s input ends with the process that holds it', async () => {
  // What guardian.ts relies on: kill -9 of the parent closes the pipe.
  const parent = spawn(
    process.execPath,
    [
      '-e',
      `const c = require('child_process').spawn('sh', ['-c', 'cat > ${folder}/in; touch ${folder}/ended'], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] }); c.stdin.write('x', () => console.log('up'));`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise((resolve) => parent.stdout.once('data', resolve));
  parent.kill('SIGKILL');
  await waitFor(
    async () =>
      await readFile(join(folder, 'ended')).then(
        () => true,
        () => undefined,
      ),
    {
      timeoutMs: 5_000,
      onTimeout: () => new Error('the pipe did not end'),
    },
  );
});
