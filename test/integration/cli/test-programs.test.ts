import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';
import { tryRun } from '../../cluster/exec.ts';

const runProgram = (program: string, ...args: string[]): ReturnType<typeof tryRun> =>
  tryRun([
    process.execPath,
    '--import',
    'tsx',
    fileURLToPath(new URL(`../../${program}.ts`, import.meta.url)),
    ...args,
  ]);

test.each([
  ['fuzz/main', /^npm run fuzz -- [\s\S]*--seconds <n>[\s\S]*targets .*: frames, /],
  ['faults/main', /^npm run test:faults -- [\s\S]*--soak <minutes>[\s\S]*faults: .*session-kill/],
  ['cluster/main', /^npm run cluster -- up\|down\|status\|kubeconfig\n/],
  ['bench/main', /^npm run bench /],
  ['support/demo', /^npm run demo [\s\S]*--namespace <name>/],
])('%s --help tells on stdout how it is used', async (program, usage) => {
  const { code, stdout, stderr } = await runProgram(program, '--help');
  assert.deepEqual([code, stderr], [0, '']);
  assert.match(stdout, usage);
});

test.each([
  ['fuzz/main', ['nothing'], /^error: no target "nothing", there are frames, .*\n$/],
  ['fuzz/main', ['frames', 'nothing'], /^error: no target "nothing", .*\n$/],
  ['fuzz/main', ['--seconds', 'x'], /^error: --seconds: "x" is not a number; --help shows what there is\n$/],
  ['fuzz/main', ['--what'], /^error: Unknown option '--what'; --help shows what there is\n$/],
  ['faults/main', ['--fault', 'nothing'], /^error: no fault "nothing", there are .*session-kill.*\n$/],
  ['faults/main', ['--load', 'http,nothing'], /^error: no load "nothing", there are .*http.*\n$/],
  ['cluster/main', ['nothing'], /^error: no command "nothing", there are up, down, status, kubeconfig; .*\n$/],
  ['cluster/main', [], /^error: one command, of up, down, status, kubeconfig; .*\n$/],
  ['support/demo', ['--name', 'x'], /^error: Unknown option '--name'; .*\n$/],
  ['bench/main', ['--smok'], /^error: Unknown option '--smok'; .*\n$/],
] as const)('%s %j is told in one line, and by exit code 2', async (program, args, told) => {
  const { code, stdout, stderr } = await runProgram(program, ...args);
  assert.deepEqual([code, stdout], [2, '']);
  assert.match(stderr, told);
});
