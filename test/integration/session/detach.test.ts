import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { onTestFinished, test } from 'vitest';
import { bundleProgram } from '../../support/bundle.ts';

test('a session in the background outlives a starter that leaves while it reports', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'detached-session.'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const program = join(folder, 'session.mjs');
  await writeFile(program, await bundleProgram('detached-session'));
  const session = fork(program, {
    env: { ...process.env, KUBE_INTERCEPT_DETACHED: '1' },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  session.once('message', () => session.disconnect());
  assert.ok(session.stdout !== null && session.stderr !== null);
  // No 'close' comes behind disconnect().
  const [[code], out, errors] = await Promise.all([once(session, 'exit'), text(session.stdout), text(session.stderr)]);
  assert.equal(code, 0, errors);
  assert.match(out, /"message":"19"/);
});
