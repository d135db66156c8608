import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { tryRun, waitFor } from '../cluster/exec.ts';
import type { Laptop } from './laptop.ts';

export interface LaptopProcess {
  readonly pid: number;
  readonly command: string;
}

/** What runs on a laptop now. */
export async function processesOn(laptop: Laptop): Promise<LaptopProcess[]> {
  const { stdout } = await tryRun(['ip', 'netns', 'pids', laptop.netns]);
  const pids = stdout.split('\n').filter((pid) => pid !== '');
  const all = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // it has ended meanwhile
      return { pid: Number(pid), command: text.replaceAll('\0', ' ').replaceAll('\n', ' ').trim().slice(0, 200) };
    }),
  );
  return all.filter(({ command }) => command !== '');
}

/** The guardian of the only session on a laptop. */
export async function guardianOn(laptop: Laptop): Promise<number> {
  const [guardian, ...others] = (await processesOn(laptop)).filter(({ command }) => command.includes('guardian.mjs'));
  if (guardian === undefined || others.length > 0) throw new Error('not exactly one guardian runs');
  return guardian.pid;
}

/** Waits until nothing of ours runs on the laptop. @throws with what still does */
export async function untilNoProcess(laptop: Laptop, timeoutMs = 10_000): Promise<void> {
  let left: LaptopProcess[] = [];
  await waitFor(
    async () => {
      left = await processesOn(laptop);
      return left.length === 0 ? true : undefined;
    },
    {
      timeoutMs,
      onTimeout: () => new Error(`still runs on the laptop:\n${left.map((p) => `${p.pid} ${p.command}`).join('\n')}`),
    },
  );
}

/** Files of sessions in the state folder (the logs of the guardian and of background sessions are not among them). */
export async function filesOn(laptop: Laptop): Promise<string[]> {
  const folder = join(laptop.home, '.local/state/kube-intercept');
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []); // never made
  return entries
    .filter((entry) => !entry.isDirectory() && !entry.name.endsWith('.log'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}
