import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'intercept-crash-'));
afterAll(() => rmSync(folder, { recursive: true }));

const CRASH = `
process.on('newListener', (name) => {
  if (name !== 'uncaughtException') return;
  const token = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl';
  const failure = new TypeError('cannot send Authorization: Bearer ' + token);
  setImmediate(() => { throw Object.assign(failure, { request: { headers: { 'x-api-key': 'CANARY' } } }); });
});
`;

test('a crash is told with its stack, without credentials and without the fields of the error', () => {
  const file = join(folder, 'crash.cjs');
  writeFileSync(file, CRASH);
  const cli = new URL('../../../dist/intercept.mjs', import.meta.url).pathname;
  const { status, stderr, stdout } = spawnSync(process.execPath, ['--require', file, cli, 'web'], { encoding: 'utf8' });
  assert.equal(status, 70, stderr);
  assert.match(stderr, /^error: TypeError: cannot send Authorization: Bearer \[redacted\]\n +at .+crash\.cjs/);
  assert.match(stderr, /code: INTERNAL\n$/);
  assert.doesNotMatch(stderr + stdout, /eyJ|CANARY/);
});
