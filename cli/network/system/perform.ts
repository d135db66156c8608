import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import type { Action } from './change.ts';
import { pointResolvConf, restoreResolvConf } from './resolv-conf-file.ts';

const RUN_TIMEOUT_MS = 20_000;
const MAX_OUTPUT_CHARS = 64 * 1024;

/** Does one action. @throws with the program's own words when it fails and may not */
export async function perform(action: Action): Promise<void> {
  switch (action.kind) {
    case 'run':
      return await perhaps(action.mayFail === true, run(action.argv, action.stdin));
    case 'write':
      return await writeFile(action.path, action.text, { mode: 0o644 });
    case 'remove':
      return await rm(action.path, { force: true });
    case 'point-resolv-conf':
      return await pointResolvConf(action.path, action);
    case 'restore-resolv-conf':
      await restoreResolvConf(action.path);
      return;
    default:
      return action satisfies never;
  }
}

async function perhaps(mayFail: boolean, work: Promise<unknown>): Promise<void> {
  await (mayFail ? work.catch(() => {}) : work); // what it undoes is undone already
}

/** Runs a program of the system. @returns its standard output @throws when it cannot be started, fails or hangs */
export async function run(argv: readonly string[], stdin = ''): Promise<string> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: RUN_TIMEOUT_MS, windowsHide: true });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      if (out[name].length < MAX_OUTPUT_CHARS) out[name] += text;
    });
  }
  child.stdin.on('error', () => {}); // EPIPE: it did not want all of it
  child.stdin.end(stdin);
  return await new Promise((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`cannot run ${program}`, { cause })));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(out.stdout);
      else reject(new Error(`${argv.join(' ')}: ${out.stderr.trim() || `ended with ${code ?? signal}`}`));
    });
  });
}
