// `npm test`: every check and suite, one summary, exit code 1 when anything failed.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRecord } from '../../src/protocol/control.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const folder = await mkdtemp(join(tmpdir(), 'kube-intercept-tests-'));
const total: Counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs a command with our output; resolves with its exit code. */
async function run(title: string, command: string, args: readonly string[]): Promise<number> {
  process.stdout.write(`\n== ${title}\n`);
  const started = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise<number>((resolve) => {
    child.once('error', () => resolve(127));
    child.once('exit', (exitCode) => resolve(exitCode ?? 1));
  });
  process.stdout.write(
    `== ${title}: ${code === 0 ? 'ok' : `exit code ${code}`}, ${((performance.now() - started) / 1000).toFixed(0)} s\n`,
  );
  return code;
}

/** A step that counts as one test. */
async function runCheck(title: string, command: string, args: readonly string[]): Promise<void> {
  const code = await run(title, command, args);
  if (code === 0) total.passed += 1;
  else total.failed += 1;
}

/** A vitest project; a run that reports nothing counts as failed. */
async function runSuite(project: string): Promise<void> {
  const report = join(folder, `${project}.json`);
  const code = await run(`${project} tests`, 'npx', [
    'vitest',
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ]);
  const counts = await readCounts(report);
  total.passed += counts.passed;
  total.skipped += counts.skipped;
  // A file that does not load, or an unhandled error, fails the run without a failed test.
  total.failed += code !== 0 && counts.failed === 0 ? 1 : counts.failed;
}

async function readCounts(report: string): Promise<Counts> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const text = await readFile(report, 'utf8').catch(() => '{}'); // vitest did not get that far
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) return counts;
  const { numPassedTests, numFailedTests, numPendingTests } = value;
  if (typeof numPassedTests === 'number') counts.passed = numPassedTests;
  if (typeof numFailedTests === 'number') counts.failed = numFailedTests;
  if (typeof numPendingTests === 'number') counts.skipped = numPendingTests;
  return counts;
}

try {
  await runCheck('lint, format and types', 'npm', ['run', '--silent', 'check']);
  await runSuite('unit');
  await runSuite('integration');
  await runSuite('e2e');
  await runCheck('benchmark smoke', 'npx', ['tsx', 'test/bench/main.ts', '--smoke']);
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
