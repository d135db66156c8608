import assert from 'node:assert/strict';
import { onTestFinished, test, vi } from 'vitest';
import { withMeantCommand } from '../../../cli/did-you-mean.ts';
import { buildProgram, runProgram } from '../../../cli/program.ts';
import { InterceptorError } from '../../../src/errors.ts';

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

test.each([
  [['leav', 'web'], 'leave'],
  [['lsit', '--all-namespaces'], 'list'],
  [['statsu', '--what'], 'status'],
  [['hlep', 'run'], 'help'],
])('%j: the command that was meant is named', async (words, command) => {
  assert.match(await refused(...words), new RegExp(`^hint: did you mean: intercept ${command}\\? \\S`, 'm'));
});

test.each([[['web', '--what']], [['leave', 'web', '--what']], [['svc/stauts', '--what']], [['--what', 'stauts']]])(
  '%j is near no command',
  async (words) => {
    assert.doesNotMatch(await refused(...words), /did you mean: intercept/);
  },
);

test('a target that is not there may have been meant as a command', () => {
  const commands = buildProgram(undefined, () => {}).commands.map((each) => each.name());
  const hintOf = (name: string, word = name): string | undefined => {
    const message = `no workload or service named "${name}" in namespace "shop"`;
    const told = withMeantCommand(new InterceptorError('TARGET_NOT_FOUND', message, { hint: 'look' }), word, commands);
    assert.ok(told instanceof InterceptorError && told.code === 'TARGET_NOT_FOUND' && told.message === message);
    return told.hint;
  };
  for (const [word, command] of [
    ['stauts', 'status'],
    ['staus', 'status'],
    ['enb', 'env'],
    ['conect', 'connect'],
    ['janitro', 'janitor'],
  ] as const)
    assert.equal(hintOf(word), `did you mean: intercept ${command}? look`);
  for (const word of ['web', 'api', 'runner', 'run-api', 'svc/stauts', 'list'])
    assert.equal(hintOf(word), 'look', word);
  assert.equal(hintOf('a-secret', 'lst'), 'look', 'it was found, what it needs was not');
  const inUse = new InterceptorError('TARGET_IN_USE', 'by ann');
  assert.equal(withMeantCommand(inUse, 'stauts', commands), inUse);
});

test('every command is in the help, but for the other way to say --version', () => {
  const program = buildProgram(undefined, () => {});
  const help = program.helpInformation({ error: false });
  const names = program.commands.map((each) => each.name()).filter((name) => name !== 'version');
  for (const name of names) assert.match(help, new RegExp(`^  ${name} `, 'm'));
  assert.deepEqual(/^ +intercept (run \|.*)$/m.exec(help)?.[1]?.split(' | '), names);
});
