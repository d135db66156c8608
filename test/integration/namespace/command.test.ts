import assert from 'node:assert/strict';
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, test } from 'vitest';
import { run, waitFor } from '../../cluster/exec.ts';
import {
  makeSessionFolder,
  NamespaceSession,
  ORDINARY_UID,
  removeSessionFolder,
} from '../../support/namespace-session.ts';
import { isRunning } from '../../support/processes.ts';

let folder: string;
const sessions: NamespaceSession[] = [];

async function start(options?: Parameters<typeof NamespaceSession.start>[1]): Promise<NamespaceSession> {
  const session = await NamespaceSession.start(folder, options);
  sessions.push(session);
  return session;
}

beforeAll(async () => {
  folder = await makeSessionFolder();
});

afterEach(async () => {
  for (const session of sessions.splice(0)) await session.end();
});

afterAll(() => removeSessionFolder(folder));

/** Helpers of sessions that were started from this file's folder. */
async function helpers(): Promise<string[]> {
  const found = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name))
      .map(async (pid) => {
        const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // it has ended
        return line.includes(`${folder}/inside/serve.py`) ? pid : undefined;
      }),
  );
  return found.filter((pid) => pid !== undefined);
}

const capabilities = ['sh', '-c', 'id -u; grep -E "Cap(Inh|Prm|Eff|Bnd|Amb)" /proc/self/status'];
const none = ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((name) => `Cap${name}:\t0000000000000000\n`).join('');

test('the command has the user’s id, no capabilities, its directory, input and exit code', async () => {
  const session = await start();
  assert.equal((await session.run(capabilities)).stdout, `${ORDINARY_UID}\n${none}`);
  assert.equal(
    (await session.run(['sh', '-c', 'pwd; cat; exit 7'], { cwd: '/usr/share', input: 'in' })).stdout,
    '/usr/share\nin',
  );
  assert.equal((await session.run(['sh', '-c', 'exit 7'])).code, 7);
  assert.equal((await session.run(['sh', '-c', 'kill -TERM $$'])).signal, 'SIGTERM');
  const env = (await session.run(['env'])).stdout.split('\n').sort();
  assert.deepEqual(
    env.filter((line) => line !== '' && !line.startsWith('_=')),
    [`HOME=${folder}`, 'LANG=C', 'PATH=/usr/local/bin:/usr/bin:/bin'],
  );
});

test('signals that Python ignores end the command as ever', async () => {
  const session = await start();
  assert.match((await session.run(['sh', '-c', 'grep SigIgn /proc/self/status'])).stdout, /SigIgn:\t0+\n/);
});

test('root’s command has no capabilities either', async () => {
  const session = await start({ uid: 0 });
  assert.equal((await session.run(capabilities)).stdout, `0\n${none}`);
});

test('a command that does not exist is told before anything starts', async () => {
  const session = await start();
  for (const name of ['no-such-command', '/usr/bin/no-such-command', './no-such-command'])
    assert.equal((await session.call({ wrap: [name] })).thrown, 'COMMAND_NOT_FOUND');
});

test('a network without IPv6 and without routes is enough', async () => {
  const script = 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; ip link set lo up; exec "$@"';
  const session = await start({ around: ['unshare', '-n', '--', 'sh', '-c', script, 'sh'] });
  const program = 'import socket; socket.create_connection(("10.1.2.3", 9), 5)';
  assert.match((await session.run(['python3', '-c', program])).stderr, /Connection refused/);
});

test('where it does not work, the reason comes with its remedy', async () => {
  const forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"';
  const off = await start({ within: ['unshare', '-U', '--map-current-user', '--keep-caps', 'sh', '-c', forbid, 'sh'] });
  const offReason = 'user namespaces are switched off; to allow them: sudo sysctl user.max_user_namespaces=10000';
  assert.deepEqual(off.ready.probe, { works: false, reason: offReason });
  const hideNft = 'mount --bind /dev/null "$(command -v nft)"; exec "$@"';
  const without = await start({
    around: ['env', `PATH=${process.env.PATH}:/usr/sbin`, 'unshare', '-m', 'sh', '-c', hideNft, 'sh'],
  });
  const missing = 'nft is not installed; it is in the package nftables';
  assert.deepEqual(without.ready.probe, { works: false, reason: missing });
});

test('directories of the pod appear at their own paths, whether or not these exist', async () => {
  const source = join(folder, 'copies');
  await mkdir(join(source, 'deep'), { recursive: true });
  await writeFile(join(source, 'a.txt'), 'first');
  await writeFile(join(source, 'deep/b.txt'), 'deep');
  const home = join(folder, 'home');
  await mkdir(home);
  await run(['chown', '-R', String(ORDINARY_UID), source, home]);
  const targets = [
    '/kube-config',
    '/etc/kube-app/conf',
    '/var/run/secrets/kubernetes.io/serviceaccount',
    join(home, 'x/y'),
    '/srv',
  ];
  const session = await start({
    mounts: [
      ...targets.map((target) => ({ source, target })),
      { source: join(source, 'a.txt'), target: '/etc/kube-single.txt' },
    ],
  });
  assert.deepEqual(session.ready.warnings, []);
  for (const target of targets) {
    assert.equal((await session.run(['cat', `${target}/a.txt`, `${target}/deep/b.txt`])).stdout, 'firstdeep', target);
    const { stderr } = await session.run(['sh', '-c', `echo x > ${target}/new`]);
    assert.match(stderr, /Read-only file system/, target);
  }
  assert.equal((await session.run(['cat', '/etc/kube-single.txt'])).stdout, 'first');
  await writeFile(join(source, 'a.txt'), 'second');
  assert.equal((await session.run(['cat', '/kube-config/a.txt'])).stdout, 'second');
  // The rest of the laptop is as it was, and what the user writes is written.
  const written = await session.run([
    'sh',
    '-c',
    `echo mine > ${home}/kept; ls -d /usr/bin /tmp /proc/self /etc/passwd /dev/null /run`,
  ]);
  assert.equal(written.stdout.split('\n').length, 7, written.stderr);
  assert.equal(await readFile(join(home, 'kept'), 'utf8'), 'mine\n');
  const listed = await session.run(['ls', '-1', '/']);
  assert.deepEqual(
    listed.stdout
      .trim()
      .split('\n')
      .filter((name) => name !== 'kube-config')
      .sort(),
    (await readdir('/')).filter((name) => !name.startsWith('.')).sort(),
  );
  await session.end();
  for (const path of ['/kube-config', '/etc/kube-app', join(home, 'x')])
    await assert.rejects(access(path), { code: 'ENOENT' }, path);
});

test('after kill -9 of the session no process, mount or directory is left but the command', async () => {
  const source = join(folder, 'left');
  const home = join(folder, 'left-home');
  for (const path of [source, home]) {
    await mkdir(path);
    await run(['chown', String(ORDINARY_UID), path]);
  }
  const mounts = async (): Promise<string> => (await run(['cat', '/proc/self/mounts'])).replaceAll(/^nsfs .*\n/gm, '');
  const before = await mounts();
  const session = await start({ mounts: [{ source, target: join(home, 'x') }] });
  const pid = await session.startCommand(['sleep', '300']);
  const commandLine = async (): Promise<string> =>
    (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ');
  await waitFor(async () => ((await commandLine()) === 'sleep 300 ' ? true : undefined), {
    timeoutMs: 5_000,
    intervalMs: 10,
    onTimeout: () => new Error('the command does not start'),
  });
  await access(join(home, 'x'));
  await session.end('kill');
  await waitFor(async () => ((await helpers()).length === 0 ? true : undefined), {
    timeoutMs: 5_000,
    intervalMs: 20,
    onTimeout: () => new Error('the helper does not end'),
  });
  await assert.rejects(access(join(home, 'x')), { code: 'ENOENT' });
  assert.equal(await mounts(), before);
  assert.equal(await commandLine(), 'sleep 300 ');
  process.kill(pid, 'SIGKILL');
});

test('close leaves no process', async () => {
  const session = await start();
  assert.equal((await helpers()).length, 1);
  await session.call({ close: true });
  assert.deepEqual(await helpers(), []);
});

/** Makes the laptop one with systemd-resolved: resolv.conf is a link, and names are asked of its socket. */
const resolvedLaptop = `set -e
mount -t tmpfs tmpfs /run/systemd; mkdir -m 755 /run/systemd/resolve
echo 'nameserver 127.0.0.53' > /run/systemd/resolve/stub-resolv.conf; : > /run/systemd/resolve/io.systemd.Resolve
mount -t tmpfs tmpfs /mnt; mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /etc; umount -l /mnt
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
echo 'hosts: resolve [!UNAVAIL=return] files dns' > /etc/nsswitch.conf
exec "$@"`;

test('systemd-resolved is not asked past resolv.conf, which may be a link into its directory', async () => {
  const session = await start({ around: ['unshare', '-m', 'sh', '-c', resolvedLaptop, 'sh'] });
  assert.deepEqual(session.ready.warnings, []);
  assert.equal((await session.run(['cat', '/etc/nsswitch.conf'])).stdout, 'hosts: files dns\n');
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'])
    assert.match((await session.run(['cat', file])).stdout, /^nameserver 192.0.2.53\nsearch shop.svc/);
  assert.equal((await session.run(['ls', '/run/systemd/resolve'])).stdout, 'resolv.conf\nstub-resolv.conf\n');
  assert.match((await session.run(['getent', 'ahostsv4', 'api'])).stdout, /^10.1.2.3 /);
});

test('what the command leaves behind ends with the namespace, also what ignores SIGTERM, and nothing else', async () => {
  const [session, other] = [await start(), await start()];
  const leave = (code: string): string[] => ['sh', '-c', `setsid sh -c '${code}' >/dev/null 2>&1 </dev/null & echo $!`];
  const started = async (where: NamespaceSession, code: string): Promise<number> =>
    Number((await where.run(leave(code))).stdout);
  const meek = await started(session, 'exec sleep 300');
  const deaf = await started(session, 'trap "" TERM; while :; do sleep 0.2; done');
  const foreign = await started(other, 'exec sleep 300');
  assert.deepEqual(await Promise.all([meek, deaf, foreign].map(isRunning)), [true, true, true]);
  await session.end();
  await waitFor(async () => ((await isRunning(meek)) || (await isRunning(deaf)) ? undefined : true), {
    timeoutMs: 5_000,
    onTimeout: () => new Error('what the command left behind still runs'),
  });
  assert.equal(await isRunning(foreign), true);
});
