// `npm test`: every check and suite, one summary, exit code 1 when anything failed.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isRecord } from '../../src/is-record.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const folder = await mkdtemp(join(tmpdir(), 'kube-intercept-tests-'));
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
/** What failed, told again at the end: of a long run often no more than the end is kept. */
const failures: string[] = [];
const MAX_FAILURE_CHARACTERS = 2_000;

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
  else {
    total.failed += 1;
    failures.push(`${title}: exit code ${code}`);
  }
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
  const without = code !== 0 && counts.failed === 0;
  total.failed += without ? 1 : counts.failed;
  if (without) failures.push(`${project} tests: exit code ${code} without a failed test`);
}

async function readCounts(report: string): Promise<Counts> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const text = await readFile(report, 'utf8').catch(() => '{}'); // vitest did not get that far
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) return counts;
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = value;
  failures.push(...failedTests(testResults));
  if (typeof numPassedTests === 'number') counts.passed = numPassedTests;
  if (typeof numFailedTests === 'number') counts.failed = numFailedTests;
  if (typeof numPendingTests === 'number') counts.skipped = numPendingTests;
  return counts;
}

/** Names and messages of the failed tests, and of files that did not load, in vitest's JSON report. */
function failedTests(testResults: unknown): string[] {
  return records(testResults).flatMap(({ name, message, assertionResults }) => {
    const file = String(name).replace(`${process.cwd()}/`, '');
    const tests = records(assertionResults).filter(({ status }) => status === 'failed');
    const texts = tests.map(({ fullName, failureMessages }) => `${String(fullName)}\n${String(failureMessages)}`);
    if (tests.length === 0 && typeof message === 'string' && message !== '') texts.push(message);
    return texts.map((text) => `${file}: ${text}`.slice(0, MAX_FAILURE_CHARACTERS));
  });
}

function records(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
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
if (failures.length > 0) process.stdout.write(`\n== failed\n${failures.join('\n\n')}\n`);
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exitCode = total.failed === 0 ? 0 : 1;
