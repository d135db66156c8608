// What happens on the laptop.
import { setTimeout as sleep } from 'node:timers/promises';
import { tryRun } from '../cluster/exec.ts';
import type { Fault } from './fault.ts';

const FROZEN_MS = 60_000;

export const SESSION_FAULTS: readonly Fault[] = [
  {
    name: 'session-kill',
    target: 'app within 5 s',
    settledBy: 'app',
    endsSession: true,
    inject: async ({ run }) => {
      run.child.kill('SIGKILL');
      await run.exited;
    },
  },
  {
    // A laptop that sleeps.
    name: 'session-stop',
    target: 'app within 5 s',
    settledBy: 'laptop',
    inject: async ({ run }) => {
      run.child.kill('SIGSTOP');
      await sleep(FROZEN_MS);
      run.child.kill('SIGCONT');
    },
  },
  {
    // Under a watcher, which starts it again.
    name: 'process-kill',
    target: 'reported',
    settledBy: 'laptop',
    processArguments: ['watch'],
    inject: async ({ place: { processFile } }) => {
      const servers = await startedByWatcher(processFile);
      if (servers.length === 0) throw new Error('no process to kill');
      for (const pid of servers) process.kill(pid, 'SIGKILL');
    },
  },
];

/** What `node <file> watch` has started, wherever its network is. */
async function startedByWatcher(file: string): Promise<number[]> {
  const { stdout } = await tryRun(['ps', '-eo', 'pid=,ppid=,args=']);
  const all = stdout.split('\n').map((line) => {
    const [, pid = '', parent = '', args = ''] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return { pid: Number(pid), parent: Number(parent), args };
  });
  const watchers = new Set(all.filter(({ args }) => args.endsWith(`${file} watch`)).map(({ pid }) => pid));
  return all.filter(({ parent, args }) => watchers.has(parent) && args.endsWith(file)).map(({ pid }) => pid);
}
