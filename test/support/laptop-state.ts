// What a session may change on a laptop, to compare before and after.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tryRun, waitFor } from '../cluster/exec.ts';
import { laptopEtc } from '../cluster/laptop-namespace.ts';
import type { Laptop } from './laptop.ts';
import { processesWith } from './processes.ts';

/** Readable lines by subject: resolv.conf, routes, rules, … Equal before a session and after its end. */
export type LaptopState = Readonly<Record<string, readonly string[]>>;

/**
 * Reads a laptop's state.
 * @param variable `NAME=value` in the environment of what the test starts: its processes are told by it, wherever they are
 */
export async function laptopState(laptop: Laptop, variable: string): Promise<LaptopState> {
  const inside = async (...command: string[]): Promise<string[]> => {
    const { stdout, stderr } = await tryRun(['ip', 'netns', 'exec', laptop.netns, ...command]);
    return (stdout || stderr).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  };
  const etc = laptopEtc(laptop.netns);
  const text = async (file: string): Promise<string[]> => (await readFile(file, 'utf8').catch(String)).split('\n');
  return {
    'resolv.conf': await text(join(etc, 'resolv.conf')),
    hosts: await text(join(etc, 'hosts')),
    'files of /etc/netns': (await readdir(etc).catch(() => [])).sort(),
    addresses: await inside('ip', '-o', 'address'),
    routes: [...(await inside('ip', 'route', 'show', 'table', 'all')), ...(await inside('ip', '-6', 'route', 'show'))],
    rules: [...(await inside('ip', 'rule')), ...(await inside('ip', '-6', 'rule'))],
    firewall: (await inside('iptables-save')).map((line) => line.replace(/^:(\S+ \S+) \[.*\]$/, ':$1')),
    listening: await listening(laptop),
    mounts: (await readFile('/proc/mounts', 'utf8')).split('\n').filter((line) => line.includes(laptop.home)),
    processes: await processesWith(variable),
    'journal of system mode': await readdir('/run/kube-intercept').catch(() => ['none']),
    'files of the home': await filesBelow(laptop.home),
  };
}

/** Waits until the laptop's state is what it was; shows what is not when it does not become so. */
export async function assertBecomes(
  laptop: Laptop,
  variable: string,
  before: LaptopState,
  shown: string,
): Promise<void> {
  const isSame = async (): Promise<true | undefined> => {
    const now = await laptopState(laptop, variable).catch(() => undefined); // a folder went while it was read
    return JSON.stringify(now) === JSON.stringify(before) ? true : undefined;
  };
  const onTimeout = (): Error => new Error('late');
  await waitFor(isSame, { timeoutMs: 60_000, intervalMs: 300, onTimeout }).catch(async () => {
    assert.deepEqual(await laptopState(laptop, variable), before, shown);
  });
}

/** Everything but folders, and the log that a restore in the background leaves for its user. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory() && entry.name !== 'guardian.log');
  return files.map((entry) => join(entry.parentPath, entry.name)).sort();
}

/** Sockets that listen in the laptop's network, as /proc/net tells them: address and port in hexadecimal. */
async function listening(laptop: Laptop): Promise<string[]> {
  const files = ['tcp', 'tcp6', 'udp', 'udp6'].map((name) => `/proc/net/${name}`);
  const { stdout } = await tryRun(['ip', 'netns', 'exec', laptop.netns, 'cat', ...files]);
  const sockets = stdout.split('\n').map((line) => line.trim().split(/\s+/));
  return sockets.flatMap(([, local = '', , state]) => (state === '0A' || state === '07' ? [local] : [])).sort();
}
