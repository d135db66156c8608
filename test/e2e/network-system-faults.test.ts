import assert from 'node:assert/strict';
import { chown, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { run, waitFor } from '../cluster/exec.ts';
import { HOME_NAME } from '../support/home-network.ts';
import { type InterceptRun, runIntercept, startIntercept } from '../support/intercept-run.ts';
import { type Laptop, withSudo } from '../support/laptop.ts';
import { assertBecomes, type LaptopState, laptopState } from '../support/laptop-state.ts';
import { type NetworkScene, openNetworkScene } from '../support/network-scene.ts';
import { processesWith, processTree } from '../support/processes.ts';
import { clusterOrUndefined } from '../support/scene.ts';
import { assertPrints, curl } from './network-checks.ts';

const cluster = await clusterOrUndefined();
const MARK = 'KUBE_TEST_MARK';
/** A name of the laptop's own must be known as fast as this while a dead session's server is still the first in resolv.conf. */
const NAME_TIMEOUT_S = '1';

describe.skipIf(cluster === undefined)('a laptop in system mode whose session ends badly', () => {
  let network: NetworkScene;
  let laptop: Laptop;
  let root: Laptop;
  /** As a first session has left it, by its ordinary end. */
  let before: LaptopState;
  const sessions: InterceptRun[] = [];

  const env = (): Record<string, string> => {
    const { home } = network.scene.laptop;
    return { [MARK]: 'faults', TMPDIR: join(home, 'tmp'), XDG_RUNTIME_DIR: join(home, 'run') };
  };
  const args = (): string[] => ['connect', '--namespace', network.scene.namespace.name];

  async function connect(): Promise<InterceptRun> {
    const session = await startIntercept(root, args(), { namespace: network.scene.namespace, env: env() });
    sessions.push(session);
    await session.until('ready', 120_000);
    await assertPrints(laptop, curl('http://api/alive'), 'api /alive\n');
    return session;
  }

  beforeAll(async () => {
    if (cluster === undefined) return;
    network = await openNetworkScene(cluster, 'system-faults');
    laptop = network.scene.laptop;
    root = withSudo(laptop);
    for (const folder of ['tmp', 'run']) {
      await mkdir(join(laptop.home, folder), { mode: 0o700 });
      await chown(join(laptop.home, folder), laptop.uid, laptop.uid);
    }
    await (await connect()).interrupt();
    // its guardian ends by itself, behind it
    await waitFor(async () => ((await processesWith(`${MARK}=faults`)).length === 0 ? true : undefined), {
      timeoutMs: 10_000,
      onTimeout: () => new Error('processes of the first session stay'),
    });
    before = await laptopState(laptop, `${MARK}=faults`);
    assert.equal(before['resolv.conf']?.join('\n'), network.home.resolvConf);
    assert.deepEqual(before['journal of system mode'], ['none']);
    assert.deepEqual(before.processes, []);
  });
  afterEach(async () => {
    for (const { child } of sessions.splice(0)) child.kill('SIGKILL');
  });
  afterAll(async () => network?.dispose());

  const isBack = async (session: InterceptRun): Promise<void> =>
    await assertBecomes(laptop, `${MARK}=faults`, before, session.transcript);

  /** Kills the session and its guardian in such a way that none of the two learns of the other's end. */
  async function killBoth(session: InterceptRun): Promise<void> {
    session.child.kill('SIGSTOP');
    process.kill(await guardianOf(session), 'SIGKILL');
    session.child.kill('SIGKILL');
    await session.exited;
    const { stdout } = await laptop.run(['cat', '/etc/resolv.conf']);
    assert.match(stdout, /^nameserver 127\.64\.0\.5\d$/m); // nobody has put it back
    await assertPrints(laptop, ['curl', '-sS', '--max-time', NAME_TIMEOUT_S, `http://${HOME_NAME}/`], /^home /);
  }

  test('after a kill -9 its guardian puts the laptop back by itself, also one that had to be started again', async () => {
    const session = await connect();
    const first = await guardianOf(session);
    process.kill(first, 'SIGKILL');
    const second = await waitFor(() => guardianOf(session, first).catch(() => undefined), {
      timeoutMs: 10_000,
      intervalMs: 50,
      onTimeout: () => new Error('no other guardian'),
    });
    assert.notEqual(second, first);
    session.child.kill('SIGKILL');
    await session.exited;
    await isBack(session);
    await assertPrints(laptop, curl(`http://${HOME_NAME}/`), /^home /);
  });

  test('with the guardian killed, too, names of the laptop go on within a second, and the next run puts it back', async () => {
    const killed = await connect();
    await killBoth(killed);
    const next = await connect();
    await next.interrupt();
    await isBack(killed);
  });

  test('leave --all as root puts it back, and says what', async () => {
    const killed = await connect();
    await killBoth(killed);
    const { namespace } = network.scene;
    const left = await runIntercept(root, ['leave', '--all', '-n', namespace.name], { namespace, env: env() });
    assert.equal(left.code, 0, left.stderr);
    assert.match(left.stderr, /put back on this laptop: nameserver in \/etc\/resolv\.conf/);
    await isBack(killed);
  });

  test('a second connect is refused with the name and the process of the one that holds the laptop, which goes on', async () => {
    const session = await connect();
    const { namespace } = network.scene;
    const second = await runIntercept(root, args(), { namespace, env: env() });
    assert.equal(second.code, 11, second.stderr);
    assert.match(second.stderr, new RegExp(`"connect -n ${namespace.name}" \\(process ${session.child.pid}\\)`));
    await assertPrints(laptop, curl('http://api/still'), 'api /still\n');
    assert.equal(await session.interrupt(), 130);
    await isBack(session);
  });

  test('addresses of the cluster that a VPN of the laptop covers stay the VPN’s, which is told; names work', async () => {
    const address = network.upstreams.clusterIps.api ?? '';
    const inside = ['ip', 'netns', 'exec', laptop.netns, 'ip'];
    await run([...inside, 'link', 'add', 'vpn0', 'type', 'veth', 'peer', 'name', 'vpn1']);
    try {
      await run([...inside, 'link', 'set', 'vpn0', 'up']);
      await run([...inside, 'route', 'add', `${address}/24`.replace(/\d+\/24$/, '0/24'), 'dev', 'vpn0']);
      const session = await connect();
      const warning = await session.until('warning');
      assert.match(warning.message, /is also an address of this laptop's networks \(vpn0\).*names work/);
      const { stdout } = await laptop.run(['ip', '-4', 'route', 'get', address]);
      assert.match(stdout, / dev vpn0 /);
      await session.interrupt();
    } finally {
      await run([...inside, 'link', 'delete', 'vpn0']);
    }
  });

  test('without root it is refused with the way out, before the cluster is asked', async () => {
    const { namespace } = network.scene;
    const refused = await runIntercept(laptop, args(), { namespace, env: env() });
    assert.equal(refused.code, 11, refused.stderr);
    assert.match(refused.stderr, /sudo --preserve-env=KUBECONFIG intercept connect/);
  });
});

/** The process that is to put the laptop back. @param but one that is known already */
async function guardianOf({ child }: InterceptRun, but?: number): Promise<number> {
  for (const pid of await processTree(child.pid ?? 0)) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // it has ended
    if (pid !== but && command.includes('system-guardian')) return pid;
  }
  throw new Error('no guardian');
}
