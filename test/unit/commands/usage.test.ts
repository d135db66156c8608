import assert from 'node:assert/strict';
import { onTestFinished, test, vi } from 'vitest';
import { runProgram } from '../../../cli/program.ts';

/** What a command line that cannot be read says. */
async function refused(...words: string[]): Promise<string> {
  let text = '';
  const written = vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  onTestFinished(() => written.mockRestore());
  assert.equal(await runProgram(['node', 'intercept', ...words]), 2);
  return text;
}

test('--personal in front of the target takes it as its value, and that is said', async () => {
  const text = await refused('--personal', 'web', '--', 'node', 'api.js');
  assert.match(text, /missing required argument 'target': --personal took "web" as its value/);
  assert.match(text, /intercept web --personal;/);
});

test('a target that is missing for another reason is just missing', async () => {
  assert.doesNotMatch(await refused('--port', '3000'), /--personal/);
  assert.doesNotMatch(await refused('--personal', '--port', '3000'), /took/);
  assert.doesNotMatch(await refused('--personal'), /took/);
});
