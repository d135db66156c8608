import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, tryRun, waitFor } from './exec.ts';
import { laptopAddress, laptopHostAddress, MAX_LAPTOPS } from './layout.ts';
import { ClusterError } from './progress.ts';

const PREFIX = 'intercept-laptop';

/** A network namespace with one link to this machine. */
export interface LaptopNamespace {
  readonly name: string;
  /** This machine's end of the link: the only address the laptop reaches. */
  readonly hostAddress: string;
}

/** Makes a laptop's network namespace, named after this process so that others can tell when it is abandoned. */
export async function createLaptopNamespace(): Promise<LaptopNamespace> {
  await removeAbandonedLaptops();
  const name = [PREFIX, process.pid, await startTime(process.pid), randomBytes(3).toString('hex')].join('-');
  await run(['ip', 'netns', 'add', name]);
  // Links made from here on get no IPv6 address; lo keeps ::1.
  await run(inside(name, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; ip link set lo up']));
  const index = await addLink(name);
  const link = linkName(index);
  await run(['ip', 'link', 'set', link, 'addrgenmode', 'none']);
  await run(['ip', 'address', 'add', `${laptopHostAddress(index)}/30`, 'dev', link]);
  await run(['ip', 'link', 'set', link, 'up']);
  await run(inside(name, ['ip', 'address', 'add', `${laptopAddress(index)}/30`, 'dev', 'eth0']));
  await run(inside(name, ['ip', 'link', 'set', 'eth0', 'up']));
  return { name, hostAddress: laptopHostAddress(index) };
}

/** From now on the laptop reaches this port of the machine, and no other. */
export async function allowOnly(namespace: LaptopNamespace, port: number): Promise<void> {
  const relay = ['-p', 'tcp', '-d', namespace.hostAddress, '--dport', String(port), '-j', 'ACCEPT'];
  for (const rule of [relay, ['-j', 'REJECT']]) {
    await run(inside(namespace.name, ['iptables', '-A', 'OUTPUT', '!', '-o', 'lo', ...rule]));
  }
}

/** Ends every process in a laptop's namespace and removes it; its link and rules go with it. */
export async function removeLaptopNamespace(name: string): Promise<void> {
  await waitFor(
    async () => {
      const pids = (await tryRun(['ip', 'netns', 'pids', name])).stdout.split('\n').filter((pid) => pid !== '');
      for (const pid of pids) await tryRun(['kill', '-KILL', pid]);
      return pids.length === 0 ? true : undefined;
    },
    { timeoutMs: 10_000, intervalMs: 20, onTimeout: () => new Error(`processes in ${name} do not end`) },
  );
  await tryRun(['ip', 'netns', 'delete', name]);
  await rm(laptopEtc(name), { recursive: true, force: true });
  for (const folder of await readdir(tmpdir())) {
    if (folder.startsWith(`${name}.`)) await rm(join(tmpdir(), folder), { recursive: true, force: true });
  }
}

/** Files here are seen in place of those of /etc by what runs in the laptop (ip-netns(8)). Removed together with it. */
export function laptopEtc(name: string): string {
  return `/etc/netns/${name}`;
}

/** A folder that is removed together with the laptop. */
export async function makeLaptopFolder(namespace: LaptopNamespace): Promise<string> {
  return mkdtemp(join(tmpdir(), `${namespace.name}.`));
}

/** Removes the laptops of processes that ended without doing so. */
export async function removeAbandonedLaptops(): Promise<void> {
  const names = await readdir('/run/netns').catch(() => []); // ENOENT: no namespace has a name
  for (const name of names) {
    const [, pid, started] = name.match(/^intercept-laptop-(\d+)-(\d+)-\w+$/) ?? [];
    if (pid !== undefined && (await startTime(Number(pid))) !== started) await removeLaptopNamespace(name);
  }
}

async function addLink(name: string): Promise<number> {
  for (let index = 0; index < MAX_LAPTOPS; index++) {
    const link = ['ip', 'link', 'add', linkName(index), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name];
    if ((await tryRun(link)).code === 0) return index; // else: another laptop has it
  }
  throw new ClusterError(`cannot link a laptop: all ${MAX_LAPTOPS} links are taken or veth is missing`, 'see ip link');
}

function linkName(index: number): string {
  return `laptop${index}`;
}

function inside(name: string, command: readonly string[]): string[] {
  return ['ip', 'netns', 'exec', name, ...command];
}

/** When a process started, in clock ticks since boot: tells it from a later one with the same pid. */
async function startTime(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined); // ENOENT: it has ended
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
