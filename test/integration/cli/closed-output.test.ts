import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';

const cli = fileURLToPath(new URL('../../../dist/intercept.mjs', import.meta.url));

test.each([['--help'], ['status --json'], ['janitor --manifest']])('%s | true', async (line) => {
  const child = spawn(process.execPath, [cli, ...line.split(' ')], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  assert.equal(said, '');
  assert.equal(code, 0);
});
