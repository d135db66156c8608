import { spawn } from 'node:child_process';
import { mkdir, open, readdir, readFile, readlink, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { run, tryRun, waitFor } from './exec.ts';
import { INSIDE, type Layout } from './layout.ts';

/**
 * The node: mount, network and process namespaces held by one init process. All that the cluster makes (processes, mounts,
 * links, iptables rules, sysctls) is made inside, so the kernel removes it when that process is killed.
 */
export interface NodeNamespace {
  /** Process id of the node's init, as the machine sees it. */
  readonly initPid: number;
}

/** Runs as the node's first process. /run is fresh: the machine's own sockets are none of the node's business. */
const SETUP = `set -e
state=$1 cache=$2
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p ${INSIDE.state} ${INSIDE.cache} /run/lock /run/netns
mount --bind "$state" ${INSIDE.state}
mount --bind "$cache" ${INSIDE.cache}
mount --bind ${INSIDE.state}/var-lib /var/lib
mount --bind ${INSIDE.state}/var-log /var/log
mount --make-rshared /
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch ${INSIDE.state}/namespace-ready
exec sleep infinity`;

function marker(layout: Layout): string {
  return `kube-intercept-node:${layout.stateDir}`;
}

/** Starts the node's namespaces and links them to the machine, which can then reach the API server and nothing else in it. */
export async function startNodeNamespace(layout: Layout): Promise<NodeNamespace> {
  for (const folder of ['var-lib', 'var-log', 'logs']) await mkdir(join(layout.stateDir, folder), { recursive: true });
  await makeCgroups(layout);
  const log = await open(join(layout.stateDir, 'logs/namespace.log'), 'a');
  const unshare = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
  const init = [join(layout.programsDir, 'bin/tini'), '--', 'sh', '-c', SETUP, 'sh', layout.stateDir, layout.cacheDir];
  const child = spawn('unshare', [...unshare, ...init, marker(layout)], {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` },
  });
  await log.close();
  child.unref();
  await waitFor(
    async () => ((await readIfThere(join(layout.stateDir, 'namespace-ready'))) === undefined ? undefined : true),
    {
      timeoutMs: 10_000,
      intervalMs: 20,
      onTimeout: () => new Error(`the node's namespaces did not come up; see ${layout.stateDir}/logs/namespace.log`),
    },
  );
  const initPid = (await findNodeProcesses(layout)).find(({ program }) => program === 'tini')?.pid;
  if (initPid === undefined) throw new Error('the first process of the node is gone');
  await run(['ip', 'link', 'add', layout.hostLink, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(initPid)]);
  await run(['ip', 'address', 'add', `${layout.hostAddress}/30`, 'dev', layout.hostLink]);
  await run(['ip', 'link', 'set', layout.hostLink, 'up']);
  const inside = ['nsenter', '--target', String(initPid), '--net'];
  await run([...inside, 'ip', 'address', 'add', `${layout.nodeAddress}/30`, 'dev', 'eth0']);
  await run([...inside, 'ip', 'link', 'set', 'eth0', 'up']);
  return { initPid };
}

/** The node that is running for this state folder, if any. */
export async function findNodeNamespace(layout: Layout): Promise<NodeNamespace | undefined> {
  const init = (await findNodeProcesses(layout)).find(({ program }) => program === 'tini');
  return init === undefined ? undefined : { initPid: init.pid };
}

/** Kills the node and removes what a namespace does not hold: the link's end on the machine, and cgroups. */
export async function removeNodeNamespace(layout: Layout): Promise<void> {
  const processes = await findNodeProcesses(layout);
  const init = processes.find(({ program }) => program === 'tini');
  // unshare(1) ends with the init it waits for; killed first, it would leave a zombie where nobody reaps orphans.
  for (const { pid } of init ? [init] : processes) kill(pid);
  await waitFor(async () => ((await findNodeProcesses(layout)).length === 0 ? true : undefined), {
    timeoutMs: 20_000,
    intervalMs: 20,
    onTimeout: () => new Error(`processes of the node do not end; look for ${marker(layout)} in ps -ef`),
  });
  await tryRun(['ip', 'link', 'delete', layout.hostLink]); // it goes with the namespace, a moment later
  for (const folder of await cgroupFolders(layout)) {
    await waitFor(async () => ((await removeCgroup(folder)) ? true : undefined), {
      timeoutMs: 20_000,
      onTimeout: () => new Error(`cannot remove the cgroup ${folder}: something still runs in it`),
    });
  }
  await rm(layout.stateDir, { recursive: true, force: true });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // ESRCH: ended with the process that was killed before it
  }
}

/** Finds the node's unshare(1) and init by the last argument, which names the state folder: no recorded pid can go stale. */
async function findNodeProcesses(layout: Layout): Promise<{ pid: number; program: string }[]> {
  const found: { pid: number; program: string }[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const commandLine = await readIfThere(`/proc/${name}/cmdline`);
    if (commandLine?.split('\0').at(-2) !== marker(layout)) continue;
    const path = await readlink(`/proc/${name}/exe`).catch(() => ''); // ENOENT: a zombie, or just ended
    const program = basename(path.replace(/ \(deleted\)$/, '')); // the cache may be emptied under a running node
    if (program === 'unshare' || program === 'tini') found.push({ pid: Number(name), program });
  }
  return found;
}

/** Every place the node's cgroup has: one in each hierarchy of cgroup v1, one in all of v2. */
async function cgroupFolders(layout: Layout): Promise<string[]> {
  const candidates = (await cgroupHierarchies()).map((hierarchy) => join(hierarchy, layout.cgroup));
  const present = await Promise.all(
    candidates.map(async (folder) => ((await listFolders(folder)) ? folder : undefined)),
  );
  return present.filter((folder) => folder !== undefined);
}

async function cgroupHierarchies(): Promise<string[]> {
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  return mounts.flatMap(([, folder, type]) => (folder && (type === 'cgroup' || type === 'cgroup2') ? [folder] : []));
}

async function makeCgroups(layout: Layout): Promise<void> {
  for (const hierarchy of await cgroupHierarchies()) {
    const folder = join(hierarchy, layout.cgroup);
    await mkdir(folder, { recursive: true });
    const controllers = await readIfThere(join(hierarchy, 'cgroup.controllers'));
    if (controllers !== undefined) {
      const all = controllers
        .trim()
        .split(' ')
        .map((name) => `+${name}`)
        .join(' ');
      for (const parent of [hierarchy, folder])
        await writeFile(join(parent, 'cgroup.subtree_control'), all).catch(() => {}); // EBUSY
    }
    for (const file of ['cpuset.mems', 'cpuset.cpus']) {
      const value = await readIfThere(join(hierarchy, file)); // cgroup v1 gives a new cpuset no CPUs
      if (value !== undefined && value.trim() !== '') await writeFile(join(folder, file), value);
    }
  }
}

async function removeCgroup(folder: string): Promise<boolean> {
  const children = await listFolders(folder);
  if (children === undefined) return true;
  for (const child of children) await removeCgroup(join(folder, child));
  return rmdir(folder).then(
    () => true,
    () => false, // EBUSY: the kernel has not finished with its processes
  );
}

async function listFolders(folder: string): Promise<string[] | undefined> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined); // ENOENT
  return entries?.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined); // ENOENT, or ESRCH for a process that just ended
}
