// What the kernel tells of processes, through /proc, as root.
import { readdir, readFile } from 'node:fs/promises';

/** Resident bytes of a process; 0 when it has ended. */
export async function residentBytes(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readProc(pid, 'status'))?.[1];
  return Number(kib ?? 0) * 1024;
}

/**
 * Whether a process has not ended: neither gone nor a zombie. Its command line would not tell: that reads as empty in the
 * middle of an execve(2) too (1.6 % of reads of a process that execs four times).
 */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readProc(pid, 'stat');
  return stat !== '' && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** A process and all that came from it, but for `without` and what came from that. */
export async function processTree(pid: number, without?: number): Promise<number[]> {
  if (pid === without) return [];
  const children = (await readProc(pid, `task/${pid}/children`)).trim().split(' ').filter(Boolean).map(Number);
  const below = await Promise.all(children.map((child) => processTree(child, without)));
  return [pid, ...below.flat()];
}

/** Command lines of the processes whose environment has the variable, whoever their parent is now. */
export async function processesWith(variable: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const lines = await Promise.all(
    pids.map(async (pid) => {
      const environment = await readProc(pid, 'environ');
      if (!environment.split('\0').includes(variable)) return undefined;
      return `${pid} ${(await readProc(pid, 'cmdline')).replaceAll('\0', ' ').slice(0, 200)}`;
    }),
  );
  return lines.filter((line) => line !== undefined);
}

async function readProc(pid: number, file: string): Promise<string> {
  return await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => ''); // ENOENT, ESRCH: it has ended
}
