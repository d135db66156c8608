import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'vitest';
import { ERRORS } from '../../src/errors.ts';

const ROOT = new URL('../../', import.meta.url);

/** Whether a file of ours, other than the list itself, makes an error of that code. */
async function codesInUse(): Promise<Set<string>> {
  const used = new Set<string>();
  for (const folder of ['src', 'agent', 'cli']) {
    const files = await readdir(new URL(folder, ROOT), { recursive: true });
    for (const file of files.filter((name) => name.endsWith('.ts'))) {
      if (`${folder}/${file}` === 'src/errors.ts') continue;
      const text = await readFile(new URL(`${folder}/${file}`, ROOT), 'utf8');
      // new InterceptorError('CODE', …), a class of ours that extends it, or a table of codes: { code: 'CODE' }
      for (const [, code] of text.matchAll(/(?:Error\(|super\(|code: |lateCode: ErrorCode = )\s*'([A-Z_]+)'/g))
        if (code !== undefined) used.add(code);
    }
  }
  return used;
}

test('every error code is thrown somewhere', async () => {
  const used = await codesInUse();
  assert.deepEqual(
    Object.keys(ERRORS).filter((code) => !used.has(code)),
    [],
  );
});

test('exit codes tell an error of ours from a signal and from success', () => {
  for (const [code, { exitCode }] of Object.entries(ERRORS))
    assert.ok(exitCode >= 2 && exitCode < 128, `${code}: ${exitCode}`);
});
