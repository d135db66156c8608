/** `npm run cluster -- up|down|status|kubeconfig`: a real one-node Kubernetes for tests, see README's "Development". */
import { access } from 'node:fs/promises';
import { readCommandLine, readName, UsageError } from '../support/command-line.ts';
import { removeAbandonedLaptops } from './laptop-namespace.ts';
import { type Layout, readLayout } from './layout.ts';
import { withLock } from './lock.ts';
import { removeNodeNamespace } from './node-namespace.ts';
import { bringPodSecurityUp } from './pod-security-up.ts';
import { ClusterError, note, step } from './progress.ts';
import { bringUp, findProblem } from './up.ts';

const COMMANDS = ['up', 'down', 'status', 'kubeconfig'] as const;
type Command = (typeof COMMANDS)[number];
const USAGE = `npm run cluster -- up|down|status|kubeconfig

  up          brings the cluster up; the first time it builds its programs, some minutes
  down        removes it
  status      whether it can be used; exit code 1 when not
  kubeconfig  prints the path of its kubeconfig
`;
const UNSUPPORTED_EXIT_CODE = 3;
const OTHER_CLUSTER = 'use another cluster: set INTERCEPT_TEST_KUBECONFIG to its kubeconfig';

async function requireSupportedMachine(): Promise<void> {
  if (process.platform !== 'linux') {
    throw new ClusterError('the test cluster runs on Linux only', OTHER_CLUSTER, UNSUPPORTED_EXIT_CODE);
  }
  if (process.getuid?.() !== 0) {
    throw new ClusterError(
      'the test cluster needs root',
      `run it with sudo, or ${OTHER_CLUSTER}`,
      UNSUPPORTED_EXIT_CODE,
    );
  }
  await access('/usr/bin/apt-get').catch(() => {
    throw new ClusterError(
      'the test cluster is made from Debian packages: no apt-get',
      OTHER_CLUSTER,
      UNSUPPORTED_EXIT_CODE,
    );
  });
}

async function main(command: Command, layout: Layout): Promise<void> {
  const locked = <T>(work: () => Promise<T>) =>
    withLock(layout.lockFile, () => note('waiting for another run of this command'), work);
  switch (command) {
    case 'up':
      await requireSupportedMachine();
      await locked(async () => {
        await bringUp(layout);
        await bringPodSecurityUp(layout);
      });
      process.stdout.write(`${layout.kubeconfig}\n`);
      return;
    case 'down':
      await requireSupportedMachine();
      await locked(() => step('remove the cluster', () => removeNodeNamespace(layout)));
      await removeAbandonedLaptops();
      return;
    case 'status': {
      const problem = await findProblem(layout);
      process.stdout.write(problem === undefined ? `up: ${layout.kubeconfig}\n` : `not usable: ${problem}\n`);
      process.exitCode = problem === undefined ? 0 : 1;
      return;
    }
    case 'kubeconfig':
      process.stdout.write(`${layout.kubeconfig}\n`);
      return;
    default:
      return command satisfies never;
  }
}

const command = readCommandLine(USAGE, ([name, ...more]) => {
  if (name === undefined || more.length > 0) throw new UsageError(`one command, of ${COMMANDS.join(', ')}`);
  return readName('command', name, COMMANDS, String);
});
try {
  await main(command, readLayout());
} catch (error) {
  if (!(error instanceof ClusterError)) throw error;
  process.stderr.write(`error: ${error.message}\n${error.hint === '' ? '' : `hint: ${error.hint}\n`}`);
  process.exitCode = error.exitCode;
}
